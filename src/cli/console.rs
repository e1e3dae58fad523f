//! The conversation with whoever types the commands of `relay connect`.

use std::{
    io::{BufRead, IsTerminal, Write, stdin, stdout},
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rustyline::{DefaultEditor, error::ReadlineError};
use tokio::{runtime::Handle, signal::ctrl_c, sync::Notify, time::timeout};

use super::{Failure, relay_args::sentence};
use crate::{
    client::{Arrived, Event, LinkError, Mode, PythonBytes, Running},
    net::Target,
    wire::{ErrorCode, Escaped, FromRelay, Name},
};

const COMMANDS: [(&str, &str); 4] = [
    ("recv", "show what has arrived, or wait for it"),
    ("send", "send a text to a name"),
    ("help", "show this"),
    ("quit", "leave, as exit and the end of the input do"),
];

/// An end so soon after connecting means that the name was taken: version 1 says nothing else.
const EARLY: Duration = Duration::from_secs(1);

/// How long `send` waits for the word that nobody has the name. It usually comes with the next segment.
const NOTICE_WAIT: Duration = Duration::from_millis(200);

/// What a shell gives for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Reads commands and obeys them.
pub(super) struct Console {
    handle: Handle,
    link: Running,
    mode: Mode,
    relay: Target,
    name: Name,
    since: Instant,
    input: Input,
    interrupt: Arc<Interrupt>,
}

/// Ctrl-C, outside the line editor.
#[derive(Default)]
struct Interrupt {
    /// Ctrl-C gives up a command, not the program: always on a terminal, elsewhere while `recv` waits.
    is_expected: AtomicBool,
    raised: Notify,
}

enum Input {
    /// A terminal: line editing and history.
    Editor(Box<DefaultEditor>),
    /// Anything else: plain lines.
    Lines,
}

/// What there is instead of a line.
enum NoLine {
    End,
    Interrupted,
}

impl Console {
    pub(super) fn new(handle: Handle, link: Running, mode: Mode, relay: Target, name: Name) -> Self {
        let is_terminal = stdin().is_terminal() && stdout().is_terminal();
        let editor = is_terminal.then(DefaultEditor::new).and_then(Result::ok);
        let input = editor.map_or(Input::Lines, |editor| Input::Editor(Box::new(editor)));
        let interrupt = Arc::new(Interrupt::default());
        interrupt.is_expected.store(matches!(input, Input::Editor(_)), SeqCst);
        Self { handle, link, mode, relay, name, since: Instant::now(), input, interrupt }
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
            };
            match command.trim() {
                "" => self.check_end()?,
                "quit" | "exit" => return Ok(()),
                "recv" => self.recv()?,
                "send" => self.send()?,
                "help" => COMMANDS.iter().for_each(|(name, text)| self.say(&format!("{name}  {text}"))),
                other => {
                    let known: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
                    let other = Escaped(other.as_bytes());
                    self.say(&format!(
                        "There is no command '{other}'; there are {} and exit.",
                        known.join(", ")
                    ));
                }
            }
        }
    }

    fn recv(&mut self) -> Result<(), Failure> {
        let is_editor = matches!(self.input, Input::Editor(_));
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
        let inside = |what| match what {
            NoLine::End => Some(Failure::new("the input ended inside a command; nothing was sent.")),
            NoLine::Interrupted => None,
        };
        let dest = match self.ask("Dest name > ") {
            Ok(line) => line,
            Err(what) => return inside(what).map_or(Ok(()), Err),
        };
        let data = match self.ask("Data > ") {
            Ok(line) => line,
            Err(what) => return inside(what).map_or(Ok(()), Err),
        };
        let dest = match Name::new(dest.as_bytes()) {
            Ok(dest) => dest,
            Err(error) => {
                self.say(&format!("That is no name: {error}; nothing was sent."));
                return Ok(());
            }
        };
        let sent = self.handle.block_on(async {
            tokio::select! {
                sent = self.link.send(dest.as_bytes(), data.as_bytes()) => Some(sent),
                () = self.interrupt.raised.notified() => None,
            }
        });
        match sent {
            Some(true) => {}
            Some(false) => return self.check_end(),
            None => {
                self.say("The recipient reads too slowly; the message goes out when it does.");
                return Ok(());
            }
        }
        if self.mode == Mode::Session {
            self.show_notice();
        }
        Ok(())
    }

    /// Shows what arrives at once after a message, if it is the relay's word that nobody has the name.
    fn show_notice(&self) {
        let inbox = Arc::clone(&self.link.inbox);
        let notice = self.handle.block_on(async { timeout(NOTICE_WAIT, inbox.next_notice()).await });
        if let Ok(notice) = notice {
            self.show(&Event::Control(notice));
        }
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
            let (relay, name) = (&self.relay, &self.name);
            return Failure::new(format!(
                "{relay} ended the connection at once; most likely the name {name} is taken, choose another."
            ));
        }
        sentence(error, &self.relay, &self.name)
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

    /// The next line of the input, without its end.
    fn ask(&mut self, prompt: &str) -> Result<String, NoLine> {
        match &mut self.input {
            Input::Editor(editor) => match editor.readline(prompt) {
                Ok(line) => {
                    let _ = editor.add_history_entry(&line);
                    Ok(line)
                }
                Err(ReadlineError::Interrupted) => Err(NoLine::Interrupted),
                Err(_) => Err(NoLine::End),
            },
            Input::Lines => {
                let _ = stdout().write_all(prompt.as_bytes()).and_then(|()| stdout().flush());
                let mut line = Vec::new();
                match stdin().lock().read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => Err(NoLine::End),
                    Ok(_) => {
                        line.pop_if(|byte| *byte == b'\n');
                        line.pop_if(|byte| *byte == b'\r');
                        Ok(String::from_utf8_lossy(&line).into_owned())
                    }
                }
            }
        }
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
        self.handle.spawn(async move {
            while ctrl_c().await.is_ok() {
                if !interrupt.is_expected.load(SeqCst) {
                    exit(i32::from(EXIT_INTERRUPTED));
                }
                interrupt.raised.notify_one();
            }
        });
    }
}
