//! How a check is that is as bad as those of something else. Pure.

use crate::service::registry::{Alias, Catalog, Check, CheckPlace, CheckState, Status};

/// How an alias is, by the catalog.
pub(super) fn evaluate(catalog: &Catalog, place: &CheckPlace, alias: &Alias) -> CheckState {
    let name = match alias.node.as_str() {
        "" => &*place.node,
        name => name,
    };
    let critical = |output: String| CheckState {
        status: Status::Critical,
        output,
    };
    let Some(node) = catalog.node(name) else {
        return critical(format!("Node {name} could not be found"));
    };
    let mut checks: Vec<&Check> = node.state.checks.iter().collect();
    if !alias.instance.is_empty() {
        let Some(entry) = node.instance(&alias.instance) else {
            return critical(format!(
                "Service {} could not be found on node {name}",
                alias.instance
            ));
        };
        checks.extend(&entry.checks);
    }
    let is_other = |check: &&Check| {
        let (owner, id) = (place.instance.as_deref(), &check.definition.id);
        let is_own_node = name.eq_ignore_ascii_case(&place.node);
        let is_own = is_own_node && **id == *place.check;
        !(is_own && owner.is_none_or(|owner| owner == alias.instance))
    };
    let worst = checks
        .into_iter()
        .filter(is_other)
        .max_by_key(|check| check.state.status);
    match worst {
        None => CheckState {
            status: Status::Passing,
            output: "No checks found.".into(),
        },
        Some(worst) if worst.state.status == Status::Passing => CheckState {
            status: Status::Passing,
            output: "All checks passing.".into(),
        },
        Some(worst) => {
            let called = match worst.definition.name.as_str() {
                "" => &worst.definition.id,
                name => name,
            };
            CheckState {
                status: worst.state.status,
                output: format!("Aliased check {called:?} failing"),
            }
        }
    }
}
