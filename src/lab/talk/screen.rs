//! Where what arrives is shown: to a person at a terminal, or as it came to a pipe or a file.

use std::io::{self, Write};

use crate::lab::TerminalText;

/// An output, with a prompt for people.
#[derive(Debug)]
pub struct Screen<W, P> {
    out: W,
    /// For a terminal; `None` writes bytes as they come.
    text: Option<TerminalText>,
    prompt: Option<Prompt<P>>,
    /// Whether a terminal's cursor stands behind text in its line.
    is_inside_line: bool,
}

#[derive(Debug)]
struct Prompt<P> {
    out: P,
    text: &'static str,
    is_open: bool,
}

impl<W: Write, P: Write> Screen<W, P> {
    /// Shows on `out`; `is_terminal` says whether that is one, where what could steer it is escaped.
    pub fn new(out: W, is_terminal: bool) -> Self {
        Self { out, text: is_terminal.then(TerminalText::default), prompt: None, is_inside_line: false }
    }

    /// Asks with `text` on `out` before each line that a person is to type.
    #[must_use]
    pub fn with_prompt(mut self, out: P, text: &'static str) -> Self {
        self.prompt = Some(Prompt { out, text, is_open: false });
        self
    }

    /// Whether a person is asked for each line.
    pub fn asks_someone(&self) -> bool {
        self.prompt.is_some()
    }

    /// Shows what has arrived.
    ///
    /// # Errors
    /// What the output reports.
    pub fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(prompt) = self.prompt.as_mut().filter(|prompt| prompt.is_open) {
            // What arrives while a person types gets a line of its own.
            prompt.is_open = false;
            prompt.out.write_all(b"\n")?;
            prompt.out.flush()?;
        }
        match &mut self.text {
            Some(text) => {
                let shown = text.push(bytes);
                self.write_text(&shown)
            }
            None => {
                self.out.write_all(bytes)?;
                self.out.flush()
            }
        }
    }

    fn write_text(&mut self, shown: &str) -> io::Result<()> {
        if !shown.is_empty() {
            self.is_inside_line = !shown.ends_with('\n');
        }
        self.out.write_all(shown.as_bytes())?;
        self.out.flush()
    }

    /// Ends what has arrived so far: on a terminal the line is ended if the sender has not done so.
    ///
    /// # Errors
    /// What the output reports.
    pub fn pause(&mut self) -> io::Result<()> {
        if let Some(text) = &mut self.text {
            let rest = text.finish();
            self.write_text(&rest)?;
            if self.is_inside_line {
                self.write_text("\n")?;
            }
        }
        Ok(())
    }

    /// Asks for the next line, if there is someone to ask.
    ///
    /// # Errors
    /// What the outputs report.
    pub fn ask(&mut self) -> io::Result<()> {
        self.pause()?;
        if let Some(prompt) = self.prompt.as_mut().filter(|prompt| !prompt.is_open) {
            prompt.is_open = true;
            prompt.out.write_all(prompt.text.as_bytes())?;
            prompt.out.flush()?;
        }
        Ok(())
    }

    /// A line was typed: the person's terminal has ended the prompt's line.
    pub fn answered(&mut self) {
        if let Some(prompt) = &mut self.prompt {
            prompt.is_open = false;
        }
    }

    /// The input ended, which ends no line on a terminal.
    ///
    /// # Errors
    /// What the output reports.
    pub fn input_ended(&mut self) -> io::Result<()> {
        match self.prompt.as_mut().filter(|prompt| prompt.is_open) {
            Some(prompt) => {
                prompt.is_open = false;
                prompt.out.write_all(b"\n")?;
                prompt.out.flush()
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_the_bytes_as_they_came() {
        let mut out = Vec::new();
        let mut screen: Screen<_, Vec<u8>> = Screen::new(&mut out, false);
        screen.show(b"\x1b[2J\xff").unwrap();
        screen.pause().unwrap();
        screen.show(b"\n\0").unwrap();
        assert_eq!(out, b"\x1b[2J\xff\n\0");
    }

    #[test]
    fn a_terminal_gets_harmless_text_in_whole_lines_and_prompts_between() {
        let (mut out, mut prompts) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, true).with_prompt(&mut prompts, "> ");
        screen.ask().unwrap();
        screen.ask().unwrap();
        screen.answered();
        screen.show(b"\x1b[2Jone").unwrap();
        screen.ask().unwrap();
        screen.show(b"two\n").unwrap();
        screen.ask().unwrap();
        screen.input_ended().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\\u{1b}[2Jone\ntwo\n");
        // Asked once, answered; asked, interrupted; asked, ended.
        assert_eq!(String::from_utf8(prompts).unwrap(), "> > \n> \n");
    }
}
