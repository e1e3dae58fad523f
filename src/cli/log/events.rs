//! What the program logs, as lines: for people, or one JSON object each.
//!
//! Written for this program, which has no spans, instead of `tracing-subscriber`, which is a thirtieth of the program when it is there.

use std::{
    fmt::{self, Debug, Write},
    time::SystemTime,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};

use super::{LogFormat, level};

/// Makes a line of each event that the level lets through, and passes it on.
pub(super) struct Events<W> {
    format: LogFormat,
    /// The lines are for a terminal that shows colors.
    is_colored: bool,
    /// Gets a line with its end.
    write: W,
}

impl<W: Fn(&str)> Events<W> {
    pub(super) fn new(format: LogFormat, is_colored: bool, write: W) -> Self {
        Self { format, is_colored, write }
    }
}

impl<W: Fn(&str) + 'static> Subscriber for Events<W> {
    /// Asked once for each place in the program that logs, and again when the level changes.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = String::with_capacity(LINE_BYTES);
        // A string takes everything.
        let _ = match self.format {
            LogFormat::Human => write_human(&mut line, event, self.is_colored),
            LogFormat::Json => write_json(&mut line, event),
        };
        (self.write)(&line);
    }

    // There are no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Most lines are shorter.
const LINE_BYTES: usize = 192;

/// The field that tracing has the text of an event in.
const MESSAGE: &str = "message";

const PLAIN: &str = "\x1b[0m";
const DIMMED: &str = "\x1b[2m";
const ITALIC: &str = "\x1b[3m";

fn write_human(line: &mut String, event: &Event<'_>, is_colored: bool) -> fmt::Result {
    let level = *event.metadata().level();
    let [dimmed, colored, plain] = if is_colored { [DIMMED, color(level), PLAIN] } else { [""; 3] };
    write!(line, "{dimmed}{}{plain} {colored}{:>5}{plain} ", Time, level.as_str())?;
    let mut fields = Human { line, is_colored, is_first: true };
    event.record(&mut fields);
    line.write_char('\n')
}

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// The time in UTC, to the microsecond.
struct Time;

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = SystemTime::now();
        // A clock that nobody has set is no reason not to log.
        let now = if now < SystemTime::UNIX_EPOCH { SystemTime::UNIX_EPOCH } else { now };
        fmt::Display::fmt(&humantime::format_rfc3339_micros(now), f)
    }
}

/// Writes the text and then the other fields, as `name=value`.
struct Human<'a> {
    line: &'a mut String,
    is_colored: bool,
    is_first: bool,
}

impl Visit for Human<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !std::mem::take(&mut self.is_first) {
            self.line.push(' ');
        }
        if field.name() != MESSAGE {
            let [italic, dimmed, plain] = if self.is_colored { [ITALIC, DIMMED, PLAIN] } else { [""; 3] };
            for part in [italic, field.name(), plain, dimmed, "=", plain] {
                self.line.push_str(part);
            }
        }
        let _ = write!(Harmless(self.line), "{value:?}");
    }
}

/// Escapes what a terminal could take for a command: others have a say in what is logged.
struct Harmless<'a>(&'a mut String);

impl Write for Harmless<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                // An event is one line: nobody else begins another.
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\x07' | '\x08' | '\x0c' | '\x1b' | '\x7f' => write!(self.0, "\\x{:02x}", u32::from(c))?,
                '\u{80}'..='\u{9f}' => write!(self.0, "\\u{{{:x}}}", u32::from(c))?,
                _ => self.0.push(c),
            }
        }
        Ok(())
    }
}

fn write_json(line: &mut String, event: &Event<'_>) -> fmt::Result {
    write!(line, r#"{{"timestamp":"{}","level":"{}""#, Time, event.metadata().level())?;
    event.record(&mut Json(line));
    line.write_str("}\n")
}

/// Writes each field as a member of an object that has some already.
struct Json<'a>(&'a mut String);

impl Json<'_> {
    /// `value` is JSON. Names of fields are words of this program, without anything to escape.
    fn member(&mut self, field: &Field, value: &dyn fmt::Display) {
        let _ = write!(self.0, r#","{}":{value}"#, field.name());
    }
}

impl Visit for Json<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // A string can always be written.
        self.member(field, &serde_json::to_string(value).unwrap_or_default());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, &value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tracing::{debug, info, subscriber::with_default, warn};

    use super::*;

    /// The lines of some events, without the time of each.
    fn lines(format: LogFormat, is_colored: bool) -> Vec<String> {
        let (sender, lines) = channel();
        let write = |sender: Sender<String>| move |line: &str| sender.send(line.to_owned()).unwrap();
        with_default(Events::new(format, is_colored, write(sender)), || {
            let (name, port) = ("a\n\"b\"", Some(7_u16));
            info!("started");
            warn!(name, shown = %name, bytes = 3, port, gone = None::<u16>, broken = true, "of {}\x1b[2J", 1);
            debug!("not at this level");
        });
        lines.iter().collect()
    }

    #[test]
    fn people_get_the_text_and_then_the_fields() {
        let lines = lines(LogFormat::Human, false);
        let [started, of] = &lines[..] else { panic!("{lines:?}") };
        let (time, rest) = started.split_once(' ').unwrap();
        assert_eq!(rest, " INFO started\n");
        assert_eq!((time.len(), &time[10..11], &time[19..20], &time[26..]), (27, "T", ".", "Z"), "{time}");
        let fields = "name=\"a\\n\\\"b\\\"\" shown=a\\n\"b\" bytes=3 port=7 broken=true";
        assert_eq!(of[27..], format!("  WARN of 1\\x1b[2J {fields}\n"));
    }

    #[test]
    fn a_terminal_gets_colors() {
        let lines = lines(LogFormat::Human, true);
        let (time, rest) = lines[1].split_once("Z\x1b[0m ").unwrap();
        assert!(time.starts_with("\x1b[2m2"), "{time}");
        let begin = "\x1b[33m WARN\x1b[0m of 1\\x1b[2J \x1b[3mname\x1b[0m\x1b[2m=\x1b[0m\"a";
        assert!(rest.starts_with(begin), "{rest}");
    }

    #[test]
    fn programs_get_an_object_with_each_value_as_what_it_is() {
        let lines = lines(LogFormat::Json, true);
        let [_, line] = &lines[..] else { panic!("{lines:?}") };
        let (time, rest) = line.split_at(r#"{"timestamp":"2026-01-01T00:00:00.000000Z""#.len());
        assert!(time.starts_with(r#"{"timestamp":"2"#) && time.ends_with("Z\""), "{time}");
        let text = r#""of 1\u001b[2J","name":"a\n\"b\"","shown":"a\n\"b\"","bytes":3,"port":7,"broken":true"#;
        assert_eq!(rest, format!(",\"level\":\"WARN\",\"message\":{text}}}\n"));
    }
}
