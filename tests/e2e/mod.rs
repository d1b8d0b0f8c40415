//! A cluster through its life.

mod lifecycle;
