//! Building the images: buildah reads `packaging/Dockerfile` for each platform and ties them into one of several architectures. It
//! needs no service, no registry and no network, and with a fixed time it makes the same bits each time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::{e2e::in_path, project, release::Shipped, targets::Target};

/// Where buildah keeps the images.
#[derive(Debug)]
pub(super) struct Images<'a> {
    sh: &'a Shell,
    folder: PathBuf,
    /// The name of the image for all platforms.
    list: String,
}

impl<'a> Images<'a> {
    /// None yet.
    ///
    /// # Errors
    /// buildah is not installed, or cannot work for this user.
    pub(super) fn none(sh: &'a Shell) -> Result<Self> {
        ensure!(
            in_path("buildah").is_some(),
            "buildah is not installed; `cargo xtask doctor --install` or `apt install buildah` does it"
        );
        let list = format!("localhost/{}:{}", project::PACKAGE, project::VERSION);
        let images = Self { sh, folder: project::target_dir().join("image"), list };
        // What an earlier run has left would be added to.
        let _ = images.buildah("rmi").args(["--all", "--force"]).ignore_stdout().ignore_stderr().run();
        images.buildah("manifest").args(["create", &images.list]).ignore_stdout().run()?;
        Ok(images)
    }

    fn buildah(&self, subcommand: &str) -> Cmd<'a> {
        let Self { sh, folder, .. } = self;
        let (root, run) = (folder.join("storage"), folder.join("run"));
        cmd!(sh, "buildah --root {root} --runroot {run} --storage-driver vfs {subcommand}").quiet()
    }

    /// Builds the image for `target` from its archive in `folder`, and gives its identity.
    ///
    /// # Errors
    /// buildah says why.
    pub(super) fn build(&self, target: &Target, shipped: &Shipped, folder: &Path) -> Result<String> {
        let platform = target.container.context("there is no image for this platform")?;
        let labels = [
            format!("source={}", project::REPOSITORY),
            format!("version={}", project::VERSION),
            format!("revision={}", shipped.source.commit),
            "licenses=MIT OR Apache-2.0".to_owned(),
        ];
        let labels = labels
            .iter()
            .flat_map(|label| ["--label".to_owned(), format!("org.opencontainers.image.{label}")]);
        let time = shipped.source.seconds.to_string();
        let built = self
            .buildah("build")
            .args(["--quiet", "--isolation", "chroot", "--platform", platform, "--timestamp", &time])
            .args(["--build-arg", &format!("TRIPLE={}", target.triple)])
            .args(labels)
            .args(["--file".into(), project::root().join("packaging/Dockerfile")])
            .arg(folder)
            .read()
            .with_context(|| format!("the image for {platform} was not built"))?;
        // buildah 1.28 says of every 32-bit image for ARM that is built from nothing that it is for v7.
        let container = self.buildah("from").arg(&built).read()?;
        let variant = platform.split('/').nth(2).unwrap_or_default();
        self.buildah("config").args(["--variant", variant, &container]).run()?;
        let id = self
            .buildah("commit")
            .args(["--quiet", "--rm", "--timestamp", &time, &container])
            .read()
            .with_context(|| format!("the image for {platform} was not finished"))?;
        self.buildah("manifest").args(["add", &self.list, id.trim()]).ignore_stdout().run()?;
        Ok(id.trim().to_owned())
    }

    /// Hands one image over to the engine, under the name `tag`.
    ///
    /// # Errors
    /// The engine does not take it.
    pub(super) fn hand_over(&self, id: &str, tag: &str) -> Result<()> {
        self.buildah("push").args(["--quiet", id, &format!("docker-daemon:{tag}")]).ignore_stdout().run()?;
        Ok(())
    }

    /// Writes the image of all platforms into one file, which engines, skopeo and podman read.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self) -> Result<PathBuf> {
        let file = self.folder.join(format!("{}-{}.oci.tar", project::PACKAGE, project::VERSION));
        let _ = std::fs::remove_file(&file);
        let to = format!("oci-archive:{}:{}", file.display(), project::VERSION);
        self.buildah("manifest").args(["push", "--all", "--quiet", &self.list, &to]).ignore_stdout().run()?;
        Ok(file)
    }

    /// Publishes the image of all platforms as `name`, such as `ghcr.io/someone/tcp-relay:0.1.0`.
    ///
    /// # Errors
    /// The registry refuses it.
    pub(super) fn publish(&self, name: &str) -> Result<()> {
        // A registry on this machine has no certificate; any other must have one.
        let is_local = name.starts_with("127.0.0.1:") || name.starts_with("localhost:");
        self.buildah("manifest")
            .args(["push", "--all", "--quiet", &format!("--tls-verify={}", !is_local)])
            .args([&self.list, &format!("docker://{name}")])
            .ignore_stdout()
            .run()
            .with_context(|| format!("the image was not published as {name}"))
    }
}
