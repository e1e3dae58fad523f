//! docker, which runs the images as people do.

use std::{collections::BTreeMap, io::Read};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::e2e::in_path;

/// An engine that answers.
#[derive(Debug)]
pub(super) struct Engine<'a> {
    sh: &'a Shell,
}

impl<'a> Engine<'a> {
    /// The engine of this machine.
    ///
    /// # Errors
    /// There is none, or it does not run.
    pub(super) fn find(sh: &'a Shell) -> Result<Self> {
        ensure!(in_path("docker").is_some(), "there is no docker on this machine");
        let answers = cmd!(sh, "docker info").quiet().ignore_stdout().ignore_stderr().run();
        answers.context("docker does not answer; start its service, or join its group")?;
        Ok(Self { sh })
    }

    pub(super) fn sh(&self) -> &'a Shell {
        self.sh
    }

    /// What the engine knows about the image.
    ///
    /// # Errors
    /// There is no such image.
    pub(super) fn inspect(&self, tag: &str) -> Result<Value> {
        let sh = self.sh;
        let text = cmd!(sh, "docker image inspect {tag}").quiet().read()?;
        let list: Value = serde_json::from_str(&text)?;
        list.get(0).cloned().with_context(|| format!("docker says nothing about {tag}"))
    }

    /// The files in the image that are not empty; the engine's own mount points are.
    ///
    /// # Errors
    /// The engine says why.
    pub(super) fn files(&self, tag: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let sh = self.sh;
        // It is told that the processor is another one, and knows.
        let container = cmd!(sh, "docker create {tag}").quiet().ignore_stderr().read()?;
        let output = cmd!(sh, "docker export {container}").quiet().output();
        cmd!(sh, "docker rm {container}").quiet().ignore_stdout().run()?;
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(output?.stdout.as_slice()).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            if !data.is_empty() {
                files.insert(path, data);
            }
        }
        Ok(files)
    }

    /// A network of its own.
    ///
    /// # Errors
    /// The engine says why.
    pub(super) fn network(&self, name: &str) -> Result<Network<'a>> {
        let sh = self.sh;
        let _ = cmd!(sh, "docker network rm {name}").quiet().ignore_stdout().ignore_stderr().run();
        cmd!(sh, "docker network create {name}").quiet().ignore_stdout().run()?;
        let mut network = Network { sh, name: name.to_owned(), gateway: String::new() };
        let format = "{{(index .IPAM.Config 0).Gateway}}";
        network.gateway = cmd!(sh, "docker network inspect --format {format} {name}").quiet().read()?;
        ensure!(!network.gateway.is_empty(), "the network {name} has no gateway");
        Ok(network)
    }
}

/// A network of containers; it goes with all that are in it when it is dropped.
#[derive(Debug)]
pub(super) struct Network<'a> {
    sh: &'a Shell,
    pub(super) name: String,
    /// This machine's address in it. Unlike at 127.0.0.1, where the engine puts a proxy, published ports lead straight into the
    /// container here, as they do for everybody outside.
    pub(super) gateway: String,
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        let Self { sh, name, .. } = self;
        let of_network = format!("network={name}");
        let left =
            cmd!(sh, "docker ps --all --quiet --filter {of_network}").quiet().read().unwrap_or_default();
        for container in left.lines() {
            let removed = cmd!(sh, "docker rm --force {container}").quiet().ignore_stdout().ignore_stderr();
            let _ = removed.run();
        }
        let _ = cmd!(sh, "docker network rm {name}").quiet().ignore_stdout().ignore_stderr().run();
    }
}
