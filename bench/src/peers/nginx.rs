//! nginx, as a service that answers with a few bytes.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::Result;
use tempfile::TempDir;

use super::{LOOPBACK, free_address};
use crate::process::Process;

/// A running one; killed when dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    _process: Process,
    _files: TempDir,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// # Errors
    /// It does not start in time.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let address = free_address(LOOPBACK)?;
        let files = tempfile::tempdir()?;
        let file = files.path().join("nginx.conf");
        fs::write(&file, configuration(address, &files.path().to_string_lossy()))?;
        let mut process = Process::start(program, &["-c", &file.to_string_lossy(), "-e", "stderr"])?;
        process.wait_for(|_| TcpStream::connect(address).ok())?;
        Ok(Self { _process: process, _files: files, address })
    }
}

/// One process, so that the end of it is the end of all.
fn configuration(on: SocketAddr, folder: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!(" {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nerror_log stderr crit;\npid {folder}/pid;\nevents {{ worker_connections 4096; }}\n\
         http {{\n access_log off;\n keepalive_requests 1000000000;\n{temporary} \
         server {{ listen {on} backlog=4096; location / {{ return 200 \"ok\\n\"; }} }}\n}}\n"
    )
}
