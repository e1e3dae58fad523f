//! What a program is made of: as the data that auditing tools find in the program itself, and as a bill of materials beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use object::{File, Object, ObjectSection};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::project;

/// Where auditing tools look.
const SECTION: &str = ".dep-v0";
/// No list of ours is longer; a damaged one may claim to be.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// A package in the program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    is_from_registry: bool,
    /// Only needed to build it.
    is_for_building: bool,
    /// By their cargo names.
    dependencies: BTreeSet<String>,
}

/// Everything that the program of one platform is built from, by cargo's name of each package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependencies {
    root: String,
    packages: BTreeMap<String, Package>,
}

impl Dependencies {
    /// Those of the sources at `source` for `triple`.
    ///
    /// # Errors
    /// cargo fails or says something new.
    pub(crate) fn of(sh: &Shell, source: &Path, triple: &str) -> Result<Self> {
        let (cargo, manifest) = (project::cargo(), source.join("Cargo.toml"));
        let text = cmd!(sh, "{cargo} metadata --locked --format-version 1 --filter-platform {triple} --manifest-path {manifest}")
            .quiet()
            .ignore_stderr()
            .read()?;
        Self::parse(&serde_json::from_str(&text)?).context("`cargo metadata` says what we do not understand")
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
            .as_array()?
            .iter()
            .filter_map(|node| Some((node["id"].as_str()?, node)))
            .collect();
        let all: BTreeMap<&str, &Value> = metadata["packages"]
            .as_array()?
            .iter()
            .filter_map(|package| Some((package["id"].as_str()?, package)))
            .collect();
        let root = *all.iter().find(|(_, package)| package["name"] == project::PACKAGE)?.0;
        // What is linked is found first: what is needed for both counts as linked.
        let linked = reached(&nodes, BTreeSet::from([root]), |kind| kind.is_null())?;
        let needed = reached(&nodes, linked.clone(), |kind| kind.is_null() || kind == "build")?;
        let mut packages = BTreeMap::new();
        for id in &needed {
            let package = all.get(id)?;
            let dependencies = edges(nodes.get(id)?, &|kind| kind.is_null() || kind == "build")?;
            packages.insert(
                (*id).to_owned(),
                Package {
                    name: package["name"].as_str()?.to_owned(),
                    version: package["version"].as_str()?.to_owned(),
                    license: package["license"].as_str().map(str::to_owned),
                    is_from_registry: package["source"]
                        .as_str()
                        .is_some_and(|source| source.starts_with("registry+")),
                    is_for_building: !linked.contains(id),
                    dependencies: dependencies.into_iter().map(str::to_owned).collect(),
                },
            );
        }
        Some(Self { root: root.to_owned(), packages })
    }

    /// The packages in an order that does not depend on where they lie on this machine.
    fn sorted(&self) -> Vec<(&str, &Package)> {
        let mut sorted: Vec<_> = self.packages.iter().map(|(id, package)| (id.as_str(), package)).collect();
        sorted.sort_by(|(_, a), (_, b)| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        sorted
    }

    /// The list that goes into the program, in the form of cargo-auditable.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn auditable(&self) -> Result<Vec<u8>> {
        let sorted = self.sorted();
        let index = |id: &str| sorted.iter().position(|(other, _)| *other == id);
        let packages = sorted.iter().map(|(id, package)| {
            let mut entry = json!({
                "name": package.name,
                "version": package.version,
                "source": if package.is_from_registry { "crates.io" } else { "local" },
            });
            if package.is_for_building {
                entry["kind"] = json!("build");
            }
            let mut dependencies: Vec<_> = package.dependencies.iter().filter_map(|id| index(id)).collect();
            dependencies.sort_unstable();
            if !dependencies.is_empty() {
                entry["dependencies"] = json!(dependencies);
            }
            if *id == self.root {
                entry["root"] = json!(true);
            }
            entry
        });
        let list = json!({ "packages": packages.collect::<Vec<_>>() });
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(serde_json::to_string(&list)?.as_bytes())?;
        Ok(encoder.finish()?)
    }

    /// The bill of materials, in the form of CycloneDX.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn bill(&self, compiler: &str) -> Result<String> {
        let reference = |package: &Package| format!("pkg:cargo/{}@{}", package.name, package.version);
        let component = |package: &Package, kind: &str| {
            let mut entry = json!({
                "type": kind,
                "bom-ref": reference(package),
                "name": package.name,
                "version": package.version,
                "purl": reference(package),
                "scope": if package.is_for_building { "excluded" } else { "required" },
            });
            if let Some(license) = &package.license {
                // The old way of writing "or".
                entry["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
            }
            entry
        };
        let root = self.packages.get(&self.root).context("there is no root")?;
        let sorted = self.sorted();
        let others = sorted.iter().filter(|(id, _)| *id != self.root);
        let edges = sorted.iter().map(|(_, package)| {
            let mut names: Vec<_> =
                package.dependencies.iter().filter_map(|id| self.packages.get(id)).map(reference).collect();
            names.sort();
            json!({ "ref": reference(package), "dependsOn": names })
        });
        let bill = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "component": component(root, "application"),
                "properties": [{ "name": "compiler", "value": compiler }],
            },
            "components": others.map(|(_, package)| component(package, "library")).collect::<Vec<_>>(),
            "dependencies": edges.collect::<Vec<_>>(),
        });
        Ok(serde_json::to_string_pretty(&bill)? + "\n")
    }
}

/// Everything that can be reached over dependencies of these kinds.
fn reached<'a>(
    nodes: &BTreeMap<&'a str, &'a Value>,
    from: BTreeSet<&'a str>,
    follows: impl Fn(&Value) -> bool,
) -> Option<BTreeSet<&'a str>> {
    let mut found = from.clone();
    let mut open: Vec<&str> = from.into_iter().collect();
    while let Some(id) = open.pop() {
        open.extend(edges(nodes.get(id)?, &follows)?.into_iter().filter(|next| found.insert(next)));
    }
    Some(found)
}

fn edges<'a>(node: &'a Value, follows: &impl Fn(&Value) -> bool) -> Option<Vec<&'a str>> {
    let mut ids = Vec::new();
    for dependency in node["deps"].as_array()? {
        if dependency["dep_kinds"].as_array()?.iter().any(|kind| follows(&kind["kind"])) {
            ids.push(dependency["pkg"].as_str()?);
        }
    }
    Some(ids)
}

/// Whether the program carries the list of what it was built from, with itself in it.
///
/// # Errors
/// It does not.
pub(crate) fn check(program: &[u8]) -> Result<()> {
    let file = File::parse(program)?;
    let section = file
        .section_by_name(SECTION)
        .with_context(|| format!("it has no list of dependencies ({SECTION})"))?;
    let mut text = String::new();
    ZlibDecoder::new(section.data()?)
        .take(LIST_BYTES_MAX)
        .read_to_string(&mut text)
        .context("its list of dependencies is damaged")?;
    let list: Value = serde_json::from_str(&text)?;
    let packages = list["packages"].as_array().context("its list of dependencies is empty")?;
    let root = packages
        .iter()
        .find(|package| package["root"] == true)
        .context("its list of dependencies has no root")?;
    ensure!(
        root["name"] == project::PACKAGE && root["version"] == project::VERSION,
        "its list of dependencies is about {} {}",
        root["name"],
        root["version"]
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(triple: &str) -> (Dependencies, Value) {
        let dependencies = Dependencies::of(&project::shell().unwrap(), project::root(), triple).unwrap();
        let mut text = String::new();
        ZlibDecoder::new(dependencies.auditable().unwrap().as_slice()).read_to_string(&mut text).unwrap();
        (dependencies, serde_json::from_str(&text).unwrap())
    }

    fn names(list: &Value) -> Vec<&str> {
        list["packages"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn each_platform_has_its_own_packages_and_none_of_the_tests() {
        let (_, linux) = list("x86_64-unknown-linux-musl");
        let (_, windows) = list("x86_64-pc-windows-gnu");
        assert!(names(&linux).contains(&"tokio") && names(&windows).contains(&"tokio"));
        assert!(names(&windows).contains(&"windows-sys") && !names(&linux).contains(&"windows-sys"));
        assert!(!names(&linux).contains(&"proptest") && !names(&linux).contains(&"xtask"));
    }

    #[test]
    fn the_program_itself_is_the_root_and_macros_are_for_building_or_linked() {
        let (_, list) = list("aarch64-unknown-linux-musl");
        let roots: Vec<_> =
            list["packages"].as_array().unwrap().iter().filter(|p| p["root"] == true).collect();
        assert_eq!(roots.len(), 1);
        assert_eq!(
            (roots[0]["name"].as_str(), roots[0]["source"].as_str()),
            (Some("tcp-relay"), Some("local"))
        );
        let count = names(&list).len();
        let indices = roots[0]["dependencies"].as_array().unwrap();
        assert!(indices.iter().all(|index| (index.as_u64().unwrap() as usize) < count));
    }

    #[test]
    fn the_bill_names_every_package_with_its_licence() {
        let (dependencies, list) = list("x86_64-unknown-linux-musl");
        let bill: Value = serde_json::from_str(&dependencies.bill("rustc").unwrap()).unwrap();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len() + 1, names(&list).len());
        assert!(components.iter().all(|component| component["licenses"][0]["expression"].is_string()));
        assert_eq!(bill["metadata"]["component"]["name"], "tcp-relay");
    }

    #[test]
    fn a_program_without_the_list_is_found() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(check(&this).unwrap_err().to_string().contains("no list of dependencies"));
    }
}
