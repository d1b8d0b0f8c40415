//! Why a server cannot be configured. Each text names the flag, the value and the mend.

use thiserror::Error;

/// Why a server cannot be configured. Nothing was written to the disk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A flag that neither etcd nor Stead has.
    #[error("unknown flag {flag}: `stead server --help` lists all flags")]
    UnknownFlag {
        /// As it was written.
        flag: String,
    },
    /// A flag at the end of the line, or before another flag, without its value.
    #[error("{flag} needs a value: write {flag}=VALUE")]
    MissingValue {
        /// As it was written.
        flag: String,
    },
    /// Something that is no flag.
    #[error("unexpected argument {argument:?}: a server takes flags only, such as --name=node1")]
    UnexpectedArgument {
        /// As it was written.
        argument: String,
    },
    /// A program of etcd's that is started like its server.
    #[error(
        "{proxy:?} is a proxy of etcd's that stead does not have: give clients the addresses of all members, they find one that answers"
    )]
    NoProxy {
        /// As it was written.
        proxy: String,
    },
    /// A value that cannot be.
    #[error("{origin} is {value:?}: {mend}")]
    Invalid {
        /// The flag, and where its value comes from if not from the command line.
        origin: String,
        /// The value.
        value: String,
        /// What is wrong and what to write instead.
        mend: String,
    },
    /// A flag of etcd whose silent absence would be dangerous.
    #[error("{origin} is {value:?}: not supported yet: {reason}")]
    Unsupported {
        /// The flag, and where its value comes from if not from the command line.
        origin: String,
        /// The value.
        value: String,
        /// Why it is refused, not ignored.
        reason: String,
    },
    /// The file given with `--config-file`.
    #[error("--config-file {path:?}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Values that are right each by itself, but not together.
    #[error("{0}")]
    Conflict(String),
}
