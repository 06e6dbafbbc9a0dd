//! The file system that a worker may see.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, path_beneath_rules,
};
use pyo3::prelude::*;

use crate::errors::raise;

// The newest set of rights this code knows; an older kernel enforces those it has.
const RIGHTS: ABI = ABI::V6;

/// Confines this process, for good, to the named paths.
#[pyfunction]
pub(crate) fn restrict_filesystem(
    py: Python<'_>,
    read: Vec<String>,
    write: Vec<String>,
) -> PyResult<&'static str> {
    let status = py.detach(|| restrict(&read, &write)).map_err(|_| {
        raise(
            py,
            "internal.landlock",
            "the file system could not be restricted",
            None,
        )
    })?;
    Ok(match status {
        RulesetStatus::FullyEnforced => "enforced",
        RulesetStatus::PartiallyEnforced => "partial",
        RulesetStatus::NotEnforced => "unsupported",
    })
}

fn restrict(read: &[String], write: &[String]) -> Result<RulesetStatus, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(RIGHTS)))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(RIGHTS)))?
        .restrict_self()?;
    Ok(status.ruleset)
}
