//! The program as a black box: processes, their output, their exit codes, and what they leave behind.

mod again;
mod anonymous;
mod apart;
mod care;
mod doctor;
mod events;
mod filter;
mod home;
mod selection;
mod session;
mod session_moves;
mod side_by_side;
