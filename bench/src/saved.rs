//! What `--save` keeps: the figures as JSON, and docs/performance.md and its charts, which are written from that alone.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{chart, project, results::Section};

/// The parts of docs/performance.md that people write.
const TEMPLATE: &str = include_str!("../performance.md");

/// The suites, in the order of the page.
const SUITES: [&str; 3] = ["messages", "tunnel", "scale"];

fn figures() -> PathBuf {
    project::root().join("docs/charts/figures.json")
}

/// Replaces what was saved of this suite, and writes everything anew.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn put(section: Section) -> Result<()> {
    let mut sections = if figures().exists() { read()? } else { Vec::new() };
    sections.retain(|old| old.name != section.name);
    sections.push(section);
    sections.sort_by_key(|section| SUITES.iter().position(|name| *name == section.name));
    fs::create_dir_all(project::root().join("docs/charts"))?;
    fs::write(figures(), to_json(&sections)?)?;
    draw()
}

/// Writes the page and the charts from the figures that were saved.
///
/// # Errors
/// There are none, or a file cannot be written.
pub(crate) fn draw() -> Result<()> {
    let sections = read()?;
    let folder = project::root().join("docs/charts");
    for (name, svg) in chart::all(&sections)? {
        fs::write(folder.join(format!("{name}.svg")), svg)?;
    }
    let page = project::root().join("docs/performance.md");
    fs::write(&page, filled(TEMPLATE, &sections)?)?;
    println!("Written: {}, {}", project::shown(&page), project::shown(&folder));
    Ok(())
}

fn read() -> Result<Vec<Section>> {
    let file = figures();
    let text = fs::read_to_string(&file)
        .with_context(|| format!("there is no {}; run the bench with --save", project::shown(&file)))?;
    serde_json::from_str(&text).with_context(|| {
        format!("{} is damaged; delete it and run the bench with --save", project::shown(&file))
    })
}

/// A line for each row, and no more digits than mean something.
fn to_json(sections: &[Section]) -> Result<String> {
    let mut sections = sections.to_vec();
    for value in
        sections.iter_mut().flat_map(|s| &mut s.rows).flat_map(|r| &mut r.figures).flat_map(|f| &mut f.values)
    {
        *value = format!("{value:.4e}").parse()?;
    }
    let mut out = "[\n".to_owned();
    for (number, section) in sections.iter().enumerate() {
        let (name, about) = (serde_json::to_string(&section.name)?, serde_json::to_string(&section.about)?);
        let rows = section.rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let comma = if number + 1 < sections.len() { "," } else { "" };
        out.push_str(&format!(
            "{{\"name\":{name},\"about\":{about},\"rows\":[\n{}\n]}}{comma}\n",
            rows.join(",\n")
        ));
    }
    out.push_str("]\n");
    Ok(out)
}

/// The page: `<!-- SUITE -->` is replaced by the table of that suite.
fn filled(template: &str, sections: &[Section]) -> Result<String> {
    let mut page = template.to_owned();
    for name in SUITES {
        let place = format!("<!-- {name} -->");
        ensure!(page.contains(&place), "bench/performance.md has no place for {name}");
        let section = sections.iter().find(|section| section.name == name);
        let table = section.map_or_else(|| "Not measured yet.".to_owned(), Section::markdown);
        page = page.replace(&place, table.trim_end());
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Better, RELAY, Row},
        unit::Unit,
    };

    #[test]
    fn the_page_has_a_place_for_every_suite_and_says_what_was_not_measured() {
        let row = Row::new("a measure", Unit::Count, Better::Lower).figure(RELAY, &[1.0]);
        let section =
            Section { name: "tunnel".into(), about: "About.".into(), rows: vec![row], failures: vec![] };
        let page = filled(TEMPLATE, &[section]).unwrap();
        assert!(page.contains("| a measure | 1     |"), "{page}");
        assert_eq!(page.matches("Not measured yet.").count(), 2);
        assert!(filled("nothing", &[]).is_err());
    }

    #[test]
    fn every_chart_is_shown_on_the_page() {
        for name in chart::names() {
            assert!(TEMPLATE.contains(&format!("(charts/{name}.svg)")), "{name}");
        }
    }

    #[test]
    fn figures_are_kept_with_five_digits_and_read_again() {
        let row = Row::new("m", Unit::Count, Better::Lower).figure(RELAY, &[1.0 / 3.0]);
        let sections = ["messages", "scale"].map(|name| Section {
            name: name.into(),
            about: "\"About\"".into(),
            rows: vec![row.clone()],
            failures: vec![],
        });
        let text = to_json(&sections).unwrap();
        let again: Vec<Section> = serde_json::from_str(&text).unwrap();
        assert_eq!(again[1].rows[0].figures[0].values, [0.33333]);
        assert_eq!(again[0].about, sections[0].about);
    }
}
