//! Plain cargo, for what the linker of this system can link.

use anyhow::Result;

use super::{Build, flags, jobs::Job, program};
use crate::{project, toolchain::Std};

pub(super) fn prepare(build: &Build<'_>, triple: &str) -> Result<Job> {
    let folder = build.target_dir.join("cargo").join(triple);
    let std = Std::of(build.sh, triple)?;
    let command = build
        .cargo(&project::cargo(), "build", triple, &folder, std)
        .env("CARGO_ENCODED_RUSTFLAGS", flags::encode(&flags::common(build)?));
    Ok(Job::new(triple, command.into(), program(&folder, triple)))
}
