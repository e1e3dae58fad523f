//! The prompt, read on a thread of its own: the end of the connection is told while it waits.

use std::{
    io::{BufRead, IsTerminal, Write, stdin, stdout},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use rustyline::{DefaultEditor, error::ReadlineError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Leaves the mode in which the terminal marks what is pasted. The line editor enters it for each line.
const NO_BRACKETED_PASTE: &[u8] = b"\x1b[?2004l";

/// Where the commands come from.
pub(super) struct Prompt {
    prompts: Sender<String>,
    lines: UnboundedReceiver<Line>,
    is_editor: bool,
    /// The terminal's modes before the line editor changed them.
    #[cfg(unix)]
    modes: Option<rustix::termios::Termios>,
}

/// The bytes of a line without its end, or what there is instead.
pub(super) type Line = Result<Vec<u8>, NoLine>;

/// What there is instead of a line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The input has ended.
    End,
    /// Ctrl-C in the line editor.
    Interrupted,
    /// The connection has ended.
    Lost,
}

enum Input {
    /// A terminal: line editing and history.
    Editor(Box<DefaultEditor>),
    /// Anything else: plain lines.
    Lines,
}

impl Prompt {
    pub(super) fn start() -> std::io::Result<Self> {
        #[cfg(unix)]
        let modes = rustix::termios::tcgetattr(stdin()).ok();
        let is_terminal = stdin().is_terminal() && stdout().is_terminal();
        let editor = is_terminal.then(DefaultEditor::new).and_then(Result::ok);
        let input = editor.map_or(Input::Lines, |editor| Input::Editor(Box::new(editor)));
        let is_editor = matches!(input, Input::Editor(_));
        let (prompts, asked) = channel();
        let (sender, lines) = unbounded_channel();
        thread::Builder::new().spawn(move || input.serve(&asked, &sender))?;
        Ok(Self {
            prompts,
            lines,
            is_editor,
            #[cfg(unix)]
            modes,
        })
    }

    /// Whether the input is a terminal with line editing.
    pub(super) fn is_editor(&self) -> bool {
        self.is_editor
    }

    /// The next line. When this is cancelled the thread goes on waiting; see [`Self::give_up`].
    pub(super) async fn ask(&mut self, prompt: &str) -> Line {
        let _ = self.prompts.send(prompt.to_owned());
        self.lines.recv().await.unwrap_or(Err(NoLine::End))
    }

    /// Nobody asks any more, and the program will end: puts the terminal back as it was before the line editor.
    pub(super) fn give_up(&self) {
        if !self.is_editor {
            return;
        }
        let _ = stdout().write_all(NO_BRACKETED_PASTE).and_then(|()| stdout().flush());
        #[cfg(unix)]
        if let Some(modes) = &self.modes {
            let _ = rustix::termios::tcsetattr(stdin(), rustix::termios::OptionalActions::Now, modes);
        }
    }
}

impl Input {
    fn serve(mut self, prompts: &Receiver<String>, lines: &UnboundedSender<Line>) {
        for prompt in prompts {
            if lines.send(self.line(&prompt)).is_err() {
                return;
            }
        }
    }

    fn line(&mut self, prompt: &str) -> Line {
        match self {
            Self::Editor(editor) => match editor.readline(prompt) {
                Ok(line) => {
                    let _ = editor.add_history_entry(&line);
                    Ok(line.into_bytes())
                }
                Err(ReadlineError::Interrupted) => Err(NoLine::Interrupted),
                Err(_) => Err(NoLine::End),
            },
            Self::Lines => {
                let _ = stdout().write_all(prompt.as_bytes()).and_then(|()| stdout().flush());
                let mut line = Vec::new();
                match stdin().lock().read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => Err(NoLine::End),
                    Ok(_) => {
                        line.pop_if(|byte| *byte == b'\n');
                        line.pop_if(|byte| *byte == b'\r');
                        Ok(line)
                    }
                }
            }
        }
    }
}
