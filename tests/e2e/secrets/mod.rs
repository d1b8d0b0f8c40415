//! The secret store from outside: its command line.

mod command;
