//! The program: command line, workers, control thread.
//!
//! `main` reads the command line and the configuration; `serve` binds and starts the workers, which carry the
//! path of a query between sockets and `dotgate_core`; `control` is the thread that supervises them.
#![forbid(unsafe_code)]

pub mod access;
mod activation;
pub mod admin;
pub mod bootstrap;
pub mod cli;
mod clock;
pub mod commands;
pub mod control;
pub mod cookies;
pub mod credentials;
mod designation;
pub mod filter;
pub mod learned;
pub mod lines;
pub mod local;
pub mod log;
pub mod metrics;
mod own_file;
pub mod reload;
pub mod running;
pub mod sandbox;
pub mod serve;
pub mod service;
pub mod snapshot;
pub mod take_over;
pub mod upstreams;
pub mod verify;
pub mod views;
pub mod worker;
