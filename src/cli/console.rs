//! The conversation with whoever types the commands of `relay connect`.

use std::{
    io::{Write, stdout},
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, signal::ctrl_c, sync::Notify, time::timeout};

use super::{
    Failure,
    prompt::{Line, NoLine, Prompt},
    relay_args::sentence,
};
use crate::{
    client::{Arrived, Claim, Credentials, Event, LinkError, Mode, PythonBytes, Registration, Running, Sent},
    net::Target,
    task::task,
    wire::{ErrorCode, Escaped, FromRelay, Name, TextName},
};

const COMMANDS: [(&str, &str); 4] = [
    ("recv", "show what has arrived, or wait for it"),
    ("send", "send a text to a name"),
    ("help", "show this"),
    ("quit", "leave, as exit and the end of the input do"),
];

/// An end so soon after connecting is a refusal: version 1 has no other.
const EARLY: Duration = Duration::from_secs(1);

/// How long `send` waits to hear whether somebody has the name, as test_client.py does. A slow recipient may hold the answer back for longer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What is said of a message that was on its way when the connection was made again.
const UNKNOWN: &str =
    "The connection was lost and made again meanwhile; the message may be lost, send it again if it matters.";

/// What a shell gives for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Reads commands and obeys them.
pub(super) struct Console {
    handle: Handle,
    link: Running,
    mode: Mode,
    relay: Target,
    name: TextName,
    since: Instant,
    prompt: Prompt,
    interrupt: Arc<Interrupt>,
}

/// Ctrl-C, outside the line editor.
#[derive(Default)]
struct Interrupt {
    /// Ctrl-C gives up a command, not the program: always on a terminal, elsewhere while `recv` waits.
    is_expected: AtomicBool,
    raised: Notify,
}

impl Console {
    pub(super) fn new(
        handle: Handle,
        link: Running,
        mode: Mode,
        relay: Target,
        name: TextName,
        prompt: Prompt,
    ) -> Self {
        let interrupt = Arc::new(Interrupt::default());
        interrupt.is_expected.store(prompt.is_editor(), SeqCst);
        Self { handle, link, mode, relay, name, since: Instant::now(), prompt, interrupt }
    }

    /// Obeys commands until there are no more.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        self.watch_interrupts();
        loop {
            let command = match self.ask("Command > ") {
                Ok(line) => line,
                Err(NoLine::End) => {
                    self.say("");
                    return Ok(());
                }
                Err(NoLine::Interrupted) => continue,
                Err(NoLine::Lost) => return self.check_end(),
            };
            match command.trim_ascii() {
                b"" => self.check_end()?,
                b"quit" | b"exit" => return Ok(()),
                b"recv" => self.recv()?,
                b"send" => self.send()?,
                b"help" => COMMANDS.iter().for_each(|(name, text)| self.say(&format!("{name}  {text}"))),
                other => {
                    let known: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
                    let other = Escaped(other);
                    self.say(&format!(
                        "There is no command '{other}'; there are {} and exit.",
                        known.join(", ")
                    ));
                }
            }
        }
    }

    fn recv(&mut self) -> Result<(), Failure> {
        let is_editor = self.prompt.is_editor();
        self.interrupt.is_expected.store(true, SeqCst);
        let inbox = Arc::clone(&self.link.inbox);
        let arrived = self.handle.block_on(async {
            tokio::select! {
                biased;
                arrived = inbox.take() => Some(arrived),
                () = self.interrupt.raised.notified() => None,
            }
        });
        self.interrupt.is_expected.store(is_editor, SeqCst);
        match arrived {
            Some(Arrived::Events(events)) => {
                events.iter().for_each(|event| self.show(event));
                Ok(())
            }
            Some(Arrived::Ended(error)) => Err(self.ended(&error)),
            None => {
                self.say("");
                Ok(())
            }
        }
    }

    fn send(&mut self) -> Result<(), Failure> {
        let (dest, data) = match self.ask_both() {
            Ok(both) => both,
            Err(NoLine::Lost) => return self.check_end(),
            Err(NoLine::Interrupted) => return Ok(()),
            Err(NoLine::End) => {
                return Err(Failure::new("the input ended inside a command; nothing was sent."));
            }
        };
        let dest = match Name::new(&dest) {
            Ok(dest) => dest,
            Err(error) => {
                self.say(&format!("That is no name: {error}; nothing was sent."));
                return Ok(());
            }
        };
        let sent = self.handle.block_on(async {
            tokio::select! {
                sent = self.link.send(dest.as_bytes(), &data) => Some(sent),
                () = self.interrupt.raised.notified() => None,
            }
        });
        match sent {
            Some(Ok(Some(sent))) => self.show_notices(sent),
            Some(Ok(None)) => {}
            Some(Err(_)) => return self.lost(),
            None => {
                self.say("The recipient reads too slowly; the message goes out when it does.");
            }
        }
        Ok(())
    }

    /// Shows what the relay says about a message before it answers the ping behind it.
    fn show_notices(&self, sent: Sent) {
        let inbox = Arc::clone(&self.link.inbox);
        // Without an answer in time, what comes later is shown by `recv`.
        let is_known = self.handle.block_on(async {
            tokio::select! {
                answered = timeout(ANSWER_WAIT, inbox.answered(sent)) => answered.unwrap_or(true),
                () = self.interrupt.raised.notified() => true,
            }
        });
        if !is_known {
            self.say(UNKNOWN);
        }
        inbox.take_notices().iter().for_each(|notice| self.show(notice));
    }

    /// The link cannot be used any more: waits for what it has to say about that.
    fn lost(&mut self) -> Result<(), Failure> {
        let inbox = Arc::clone(&self.link.inbox);
        let ended = self.handle.block_on(async { timeout(ANSWER_WAIT, inbox.ended()).await });
        if ended.is_err() {
            self.say(UNKNOWN);
        }
        self.check_end()
    }

    /// Tells the end of the connection if it has come while a prompt waited.
    fn check_end(&mut self) -> Result<(), Failure> {
        while let Some(arrived) = self.link.inbox.take_if_ended() {
            match arrived {
                Arrived::Events(events) => events.iter().for_each(|event| self.show(event)),
                Arrived::Ended(error) => return Err(self.ended(&error)),
            }
        }
        Ok(())
    }

    fn ended(&self, error: &LinkError) -> Failure {
        if matches!(error, LinkError::Ended) && self.mode != Mode::Session && self.since.elapsed() < EARLY {
            return self.refused();
        }
        sentence(error, &self.relay, &self.name)
    }

    /// Why the relay ended a connection of version 1 at once. Version 1 does not say; version 2 does, when asked for the same name.
    fn refused(&self) -> Failure {
        let (relay, name) = (&self.relay, &self.name);
        let registration = Registration {
            relay: relay.clone(),
            name: name.clone(),
            mode: Mode::Session,
            connect_timeout: ANSWER_WAIT,
            credentials: Credentials::default(),
        };
        match self.handle.block_on(registration.open(&mut Claim::default())) {
            Err(LinkError::NoToken) => Failure::new(format!(
                "{relay} asks for a token, which version 1 of the protocol cannot prove; use --v2 with RELAY_TOKEN or --token-file."
            )),
            Err(error @ (LinkError::Refused { .. } | LinkError::Closing(_))) => sentence(&error, relay, name),
            // It is free now, or the relay does not speak version 2.
            Ok(_) | Err(_) => Failure::new(format!(
                "{relay} ended the connection at once and does not say why; perhaps the name {name} was still taken: try again, or \
                 choose another."
            )),
        }
    }

    fn show(&self, event: &Event) {
        match event {
            Event::Bytes(bytes) => self.say(&PythonBytes(bytes).to_string()),
            Event::Message(frame) => {
                self.say(&format!("{}: {}", Escaped(&frame.sender), PythonBytes(&frame.payload)));
            }
            Event::Control(FromRelay::Undeliverable(notice)) => {
                let dest = notice.dest.as_deref().or(notice.dest_hex.as_deref()).unwrap_or_default();
                let dest = Escaped(dest.as_bytes());
                self.say(&format!("Nobody has the name '{dest}'; what was sent to it was discarded."));
            }
            Event::Control(FromRelay::Error(error)) if error.code == ErrorCode::TooLarge => {
                self.say("The message was too large for the relay and was discarded.");
            }
            Event::Control(FromRelay::Error(error)) => {
                self.say(&format!("The relay says: {}.", Escaped(error.message.as_bytes())));
            }
            Event::Control(_) => {}
        }
    }

    fn ask_both(&mut self) -> Result<(Vec<u8>, Vec<u8>), NoLine> {
        Ok((self.ask("Dest name > ")?, self.ask("Data > ")?))
    }

    /// The next line of the input, unless the connection ends before it comes.
    fn ask(&mut self, prompt: &str) -> Line {
        let inbox = Arc::clone(&self.link.inbox);
        let line = self.handle.block_on(async {
            tokio::select! {
                biased;
                line = self.prompt.ask(prompt) => line,
                () = inbox.ended() => Err(NoLine::Lost),
            }
        });
        if matches!(line, Err(NoLine::Lost)) {
            self.prompt.give_up();
            // The prompt stays where it is.
            self.say("");
        }
        line
    }

    fn say(&self, line: &str) {
        // Whoever closed standard output does not want to know; the end of the input will end the program.
        let _ = stdout().write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout().flush());
    }

    /// The runtime takes Ctrl-C away from the system, which would have ended the program at a prompt that is no terminal's.
    fn watch_interrupts(&self) {
        // The handler is in place when this returns, not only when the task below first runs: asking once is enough.
        self.handle.block_on(async {
            tokio::select! {
                biased;
                _ = ctrl_c() => {}
                () = std::future::ready(()) => {}
            }
        });
        let interrupt = Arc::clone(&self.interrupt);
        self.handle.spawn(task(async move {
            while ctrl_c().await.is_ok() {
                if !interrupt.is_expected.load(SeqCst) {
                    exit(i32::from(EXIT_INTERRUPTED));
                }
                interrupt.raised.notify_one();
            }
        }));
    }
}
