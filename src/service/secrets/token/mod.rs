//! Tokens: who has one may do what its policies say, for as long as it lasts.
//!
//! ```text
//! token/<id>               the token, on a lease of the store: gone when it ends
//! lineage/<id>             its accessor and parent, for whoever takes away what it leaves behind
//! accessor/<accessor>      its id
//! child/<parent>/<id>      that it is a child
//! ```
//!
//! The id is a keyed hash of the token, which itself is stored nowhere. A token is good while it is there and so are all it
//! descends from, up to one without a parent; what a token leaves behind (children, leases, its cubbyhole) is taken away by
//! [`super::reaper`]. Batch tokens are not stored: they are what a stored one would be, encrypted, and are good while they last
//! and their parent is there.
//!
//! Never stores a token, never compares one.

mod entry;
mod find;
mod login;
mod make;
pub mod paths;
mod renew;
pub mod roles;
pub mod text;

pub use entry::{Entry, Lineage};
pub use find::{Identity, by_accessor, find, is_alive, of_id};
pub use login::of_login;
pub use make::{New, make};
pub use renew::renew;

use super::engine::Fault;
use super::store::Draft;

/// Where tokens are.
pub const TOKENS: &str = "token";
/// Where it is written down what a token leaves behind.
pub const LINEAGE: &str = "lineage";
/// Where accessors are.
pub const ACCESSORS: &str = "accessor";
/// Where children are.
pub const CHILDREN: &str = "child";

/// The path of the tokens of root that nobody's token made.
pub const ROOT_PATH: &str = "auth/token/root";

/// Ends a token; what it leaves behind is taken away afterwards.
///
/// # Errors
/// It cannot be read.
pub fn revoke(draft: &mut Draft, id: &str) -> Result<(), Fault> {
    let name = draft.name(&format!("{TOKENS}/{id}"))?;
    draft.delete(&name)
}
