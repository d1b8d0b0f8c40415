//! Where a secret is: the mount that its path is below, and what its path is for the engine there.
//!
//! Never asks a server.

/// A path, and a field of what is there; none: all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// The path, as people write it: `secret/db/app`.
    pub(super) path: String,
    /// The field.
    pub(super) field: Option<String>,
}

impl Reference {
    /// `secret/db/app#password`, or without the field.
    ///
    /// # Errors
    /// The path or the field is empty.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, field) = match text.rsplit_once('#') {
            Some((path, field)) => (path, Some(field)),
            None => (text, None),
        };
        if path.is_empty() || field == Some("") {
            return Err(format!(
                "{text:?} names no secret; write path#field: secret/db/app#password"
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            field: field.map(str::to_owned),
        })
    }
}

/// What is mounted where a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where: `secret/`.
    pub(super) path: String,
    /// Whether it keeps versions: the paths below it have `data/` or the like in front then.
    pub(super) has_versions: bool,
}

impl Mounted {
    /// What follows the mount in `path`, which is below it.
    fn rest<'path>(&self, path: &'path str) -> &'path str {
        let path = path.trim_start_matches('/');
        path.strip_prefix(self.path.as_str()).unwrap_or_else(|| {
            if path == self.path.trim_end_matches('/') {
                ""
            } else {
                path
            }
        })
    }

    /// The path of a secret with `part` (`data`, `metadata`, ...) where the engine has versions.
    pub(super) fn path_of(&self, part: &str, path: &str) -> String {
        let path = path.trim_start_matches('/');
        if self.has_versions {
            format!("{}{part}/{}", self.path, self.rest(path))
        } else {
            path.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_path_and_perhaps_a_field() {
        let parsed = |text| Reference::parse(text).map(|found| (found.path, found.field));
        let field = |field: &str| Some(field.to_owned());
        assert_eq!(parsed("secret/a#b"), Ok(("secret/a".to_owned(), field("b"))));
        assert_eq!(parsed("secret/a#b#c"), Ok(("secret/a#b".to_owned(), field("c"))));
        assert_eq!(parsed("secret/a"), Ok(("secret/a".to_owned(), None)));
        for text in ["", "#", "#a", "a#"] {
            assert!(
                parsed(text).unwrap_err().contains("secret/db/app#password"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_part_stands_behind_the_mount_where_there_are_versions() {
        let mounted = |path: &str, has_versions| Mounted {
            path: path.to_owned(),
            has_versions,
        };
        for (mount, path, inside) in [
            (mounted("secret/", true), "secret/db/app", "secret/data/db/app"),
            (mounted("secret/", true), "/secret/db/app", "secret/data/db/app"),
            (mounted("a/b/", true), "a/b/c", "a/b/data/c"),
            (mounted("secret/", true), "secret", "secret/data/"),
            (mounted("secret/", true), "secret/", "secret/data/"),
            (mounted("old/", false), "old/db/app", "old/db/app"),
        ] {
            assert_eq!(mount.path_of("data", path), inside);
        }
    }
}
