//! Plain cargo, for what the linker of this system can link.

use std::path::PathBuf;

use anyhow::Result;

use super::{Build, flags, program};
use crate::{project, toolchain::Std};

pub(super) fn build(build: &Build<'_>, triple: &str) -> Result<PathBuf> {
    let folder = build.target_dir.join("cargo");
    let std = Std::of(build.sh, triple)?;
    build
        .cargo(&project::cargo(), "build", triple, &folder, std)
        .env("CARGO_ENCODED_RUSTFLAGS", flags::encode(&flags::common(build)?))
        .run()?;
    Ok(program(&folder, triple))
}
