//! What all pages share.
//!
//! ```text
//!   Viewer   who looks: format, zone, theme, the token of its forms
//!   Base     what the frame of every page needs
//!   Report   the same answer for programs: JSON, CSV, plain text
//!   live     parts of a page that follow the database
//!   waiting  how many questions wait for people
//!   form     forms that only our own pages can send
//! ```

pub mod base;
pub mod form;
pub mod live;
pub mod look;
pub mod report;
pub mod viewer;
pub mod waiting;

pub use base::{Base, Copies, Statement};
pub use report::{Cell, Report, Sheet};
pub use viewer::{Format, Viewer, named, without_format};
pub use waiting::Waiting;
