//! The services of a TOML file, and the other options of `relay expose` under their own names.

use std::{ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use super::{Entry, Expose, READY_MAX};
use crate::{
    cli::{
        Failure,
        config::{Options, Setting, TomlFile, Value},
        secrets,
        values::near_address,
    },
    tunnel::{READY_DEFAULT, Service},
    wire::TextName,
};

/// Options that make no sense in the file they name, or that each service has for itself.
const NOT_IN_A_FILE: &[&str] = &["config", "port", "proxy-protocol", "ready"];

/// What a service has.
const KEYS: &str = "a service has name, address, port, proxy-protocol, ready and owner-file";

/// What a file says.
#[derive(Debug)]
pub(super) struct File {
    /// Options in the order of their lines.
    pub(super) options: Vec<Setting>,
    /// The services, at least one.
    pub(super) entries: Vec<Entry>,
}

/// Reads a file.
///
/// # Errors
/// A sentence with the line.
pub(super) fn read(path: &Path) -> Result<File, Failure> {
    let source = TomlFile::open(path)?;
    let options = Options::of::<Expose>(NOT_IN_A_FILE, &["--config=file"]);
    let mut file = File { options: Vec::new(), entries: Vec::new() };
    for (key, value) in source.table()?.get_ref() {
        match key.get_ref().as_ref() {
            "services" => file.entries = services(&source, value)?,
            name @ ("name" | "address" | "port" | "proxy-protocol" | "ready") => {
                let text = format!("`{name}` belongs to a service; write it below [[services]]");
                return Err(source.wrong(&key.span(), &text));
            }
            name => file.options.push(source.option(&options, name, &key.span(), value)?),
        }
    }
    if file.entries.is_empty() {
        return Err(Failure::usage(format!(
            "{} has no service; add [[services]] and below it a name and an address.",
            path.display()
        )));
    }
    file.options.sort_by_key(|setting| setting.line);
    Ok(file)
}

fn services(source: &TomlFile, value: &Value<'_>) -> Result<Vec<Entry>, Failure> {
    let wrong = || source.wrong(&value.span(), "services are written below [[services]], each its own");
    let DeValue::Array(services) = value.get_ref() else { return Err(wrong()) };
    let mut entries: Vec<Entry> = Vec::new();
    for value in services {
        let DeValue::Table(table) = value.get_ref() else { return Err(wrong()) };
        let (entry, at) = Reader { source, at: value.span() }.read(table)?;
        let name = &entry.service.name;
        if entries.iter().any(|other| other.service.name == *name) {
            let text = format!("the name {name} is there twice; give each service another");
            return Err(source.wrong(&at, &text));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// One service while it is read.
struct Reader<'a> {
    source: &'a TomlFile,
    at: Range<usize>,
}

impl Reader<'_> {
    /// The service, and where its name stands.
    fn read(&self, table: &DeTable<'_>) -> Result<(Entry, Range<usize>), Failure> {
        let (mut name, mut address, mut port, mut owner) = (None, None, None, None);
        let (mut proxy_protocol, mut ready_max) = (false, READY_DEFAULT);
        for (key, value) in table {
            let wrong = |text: &str| self.source.wrong(&value.span(), text);
            match key.get_ref().as_ref() {
                "name" => {
                    let parsed = self.source.string(value)?.parse::<TextName>();
                    let parsed = parsed.map_err(|error| wrong(&format!("{error}; choose another name")))?;
                    name = Some((parsed, value.span()));
                }
                "address" => {
                    let text = match value.get_ref() {
                        DeValue::Integer(number) => number.as_str().to_owned(),
                        _ => self.source.string(value)?,
                    };
                    address = Some(near_address(&text).map_err(|error| wrong(&error))?);
                }
                "port" => {
                    let text = "`port` is a port of the relay's machine: a number up to 65535, or 0 for any";
                    port = Some(number(value, 0..=u64::from(u16::MAX)).ok_or_else(|| wrong(text))? as u16);
                }
                "proxy-protocol" => {
                    if self.source.string(value)? != "v2" {
                        return Err(wrong("`proxy-protocol` is \"v2\", or is left out"));
                    }
                    proxy_protocol = true;
                }
                "ready" => {
                    let text = format!("`ready` is a number from 1 to {READY_MAX}");
                    ready_max = number(value, 1..=READY_MAX).ok_or_else(|| wrong(&text))? as usize;
                }
                "owner-file" => {
                    let path = self.source.string(value)?;
                    owner = secrets::owner_in(Path::new(&path)).map_err(|error| wrong(&error.to_string()))?;
                }
                other => return Err(self.source.wrong(&key.span(), &format!("{KEYS}, but no `{other}`"))),
            }
        }
        let missing = |text| self.source.wrong(&self.at, text);
        let (name, at) = name.ok_or_else(|| missing("the service has no name; add name = \"…\""))?;
        let address =
            address.ok_or_else(|| missing("the service has no address; add address = \"HOST:PORT\""))?;
        Ok((Entry { service: Service { name, address, port, proxy_protocol, ready_max }, owner }, at))
    }
}

/// A whole number of the range.
fn number(value: &Value<'_>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let DeValue::Integer(number) = value.get_ref() else { return None };
    u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number))
}
