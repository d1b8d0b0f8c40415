//! Txn: all conditions and all checks on the state before the first write, then the operations in order.

use super::{OperationAnswer, Outcome, Refusal, Transition, TxnAnswer};
use crate::state::command::{Operation, Txn};
use crate::state::mvcc::compare;
use crate::storage::StorageError;

/// Which branch a transaction takes, and those of the transactions inside that branch, in order.
pub(in crate::state) struct Path {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// One for each transaction among the operations of the branch.
    pub nested: Vec<Path>,
}

impl Path {
    /// The operations that the path takes.
    pub fn operations<'txn>(&self, txn: &'txn Txn) -> &'txn [Operation] {
        if self.succeeded {
            &txn.success
        } else {
            &txn.failure
        }
    }
}

impl Transition<'_> {
    pub(in crate::state) fn transaction(&mut self, txn: &Txn) -> Outcome<TxnAnswer> {
        let path = self.choose(txn)?;
        if let Err(refusal) = self.check(txn, &path)? {
            return Ok(Err(refusal));
        }
        Ok(Ok(self.execute(txn, &path)?))
    }

    fn choose(&self, txn: &Txn) -> Result<Path, StorageError> {
        let succeeded = compare::all_hold(&self.moment(), &txn.compare)?;
        let mut path = Path {
            succeeded,
            nested: Vec::new(),
        };
        for operation in path.operations(txn) {
            if let Operation::Txn(inner) = operation {
                path.nested.push(self.choose(inner)?);
            }
        }
        Ok(path)
    }

    /// Whether every operation of the path can be done on the state as it is.
    fn check(&self, txn: &Txn, path: &Path) -> Outcome<()> {
        let mut nested = path.nested.iter();
        for operation in path.operations(txn) {
            let checked = match operation {
                Operation::Range(range) => self.moment().resolve(range.revision).map(drop),
                Operation::Put(put) => self.check_put(put)?,
                Operation::DeleteRange(_) => Ok(()),
                Operation::Txn(inner) => match nested.next() {
                    Some(inner_path) => self.check(inner, inner_path)?,
                    None => Ok(()),
                },
            };
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }

    /// Does the operations of a path that [`Transition::check`] let pass.
    fn execute(&mut self, txn: &Txn, path: &Path) -> Result<TxnAnswer, StorageError> {
        let mut nested = path.nested.iter();
        let mut answers = Vec::new();
        for operation in path.operations(txn) {
            answers.push(match operation {
                Operation::Range(range) => {
                    OperationAnswer::Range(self.moment().range(range)?.map_err(unchecked)?)
                }
                Operation::Put(put) => OperationAnswer::Put(self.write_put(put)?),
                Operation::DeleteRange(delete) => OperationAnswer::DeleteRange(self.delete_range(delete)?),
                Operation::Txn(inner) => match nested.next() {
                    Some(inner_path) => OperationAnswer::Txn(self.execute(inner, inner_path)?),
                    None => continue,
                },
            });
        }
        Ok(TxnAnswer {
            revision: self.visible_revision(),
            succeeded: path.succeeded,
            answers,
        })
    }
}

/// A refusal after the check that excludes it: stopping is the only way not to leave half a transaction behind.
fn unchecked(refusal: Refusal) -> StorageError {
    StorageError::Corrupt {
        what: "transaction",
        reason: format!("it was refused after its check: {refusal}"),
    }
}
