//! The pages in a real browser: what they show, how they look and behave, and that the browser complains of nothing.
//!
//! Needs Chromium and chromedriver. Without them each test says that it was skipped, and fails where `CI` or
//! `TENURE_TEST_NO_SKIP` is set. Pictures of what was seen are kept in `screenshots/` in Cargo's target directory.

mod approvals;
mod audit;
mod bulk;
mod driver;
mod hostile;
mod keyboard;
mod live;
mod pages;
mod stage;
mod window;
mod without_script;

use window::Window;
