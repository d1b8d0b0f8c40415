//! Files: where they may be, with which mode, and what becomes of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::super::sink::file::open;
use super::super::sink::folder;

#[test]
fn a_file_is_made_with_its_directories_and_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/audit.log");
    let mut opened = open(folder.path(), Path::new("a/b/audit.log"), None).unwrap();
    assert!(opened.is_first && opened.tail.is_empty());
    opened.sink.write(b"one").unwrap();
    let mut again = open(folder.path(), Path::new("a/b/audit.log"), Some(0o640)).unwrap();
    assert!(!again.is_first);
    assert_eq!(again.tail, b"one\n");
    again.sink.write(b"two").unwrap();
    opened.sink.write(b"three").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(folder.path().join("a")).unwrap().mode() & 0o077, 0);
    let fresh = folder.path().join("c");
    open(folder.path(), Path::new("c"), None).unwrap();
    assert_eq!(fs::metadata(fresh).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn no_link_and_nothing_but_a_regular_file_is_opened() {
    let outside = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(outside.path().join("victim"), "").unwrap();
    symlink(outside.path().join("victim"), at("link")).unwrap();
    symlink(outside.path().join("new"), at("dangling")).unwrap();
    symlink(outside.path(), at("directory")).unwrap();
    symlink("inside", at("inner")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    for name in [
        "link",
        "dangling",
        "directory/new",
        "directory/victim",
        "inner",
        "folder",
        "socket",
        "pipe",
        "pipe/a",
    ] {
        assert!(open(folder.path(), Path::new(name), None).is_err(), "{name}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.path().join("victim")).unwrap(), "");
    symlink(at("socket"), at("socket-link")).unwrap();
    assert!(folder::socket(folder.path(), Path::new("socket")).is_ok());
    for name in ["socket-link", "folder", "none"] {
        assert!(folder::socket(folder.path(), Path::new(name)).is_err(), "{name}");
    }
}

#[test]
fn the_directory_itself_may_be_given_by_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap().join("real");
    fs::create_dir(&real).unwrap();
    let link = folder.path().join("link");
    symlink(&real, &link).unwrap();
    for path in [link.join("a"), real.join("a")] {
        assert_eq!(folder::steps(Some(&link), &path).unwrap(), Path::new("a"));
    }
    open(&link, Path::new("a"), None).unwrap();
    assert!(real.join("a").exists());
}

#[test]
fn behind_a_line_that_was_cut_a_new_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "whole\n{\"cut").unwrap();
    let mut opened = open(folder.path(), Path::new("a"), None).unwrap();
    opened.sink.write(b"next").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\n{\"cut\nnext\n");
}

#[test]
fn a_file_that_was_removed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), Path::new("a"), None).unwrap();
    assert!(!opened.sink.is_gone());
    fs::remove_file(folder.path().join("a")).unwrap();
    assert!(opened.sink.is_gone());
}
