//! `stead export` and `stead import`: all keys of a store as lines of JSON, and back.
//!
//! Keys and values come out as they went in, byte for byte. So do the revisions, when the target is empty and one
//! transaction at a time can reach them (see [`plan`]): then an export of the target is the file that was imported.
//! Otherwise the keys get revisions of the target's own, and the user is told.

mod checkpoint;
mod exact;
mod export;
mod import;
mod plain;
mod plan;
pub(super) mod record;
mod survey;

pub(super) use checkpoint::part_of;
pub(super) use export::Export;
pub(super) use import::Import;
