// SPDX-License-Identifier: MPL-2.0
//! The live page: what the cameras show, what is said of it, and the controls. Nothing is done for it unless somebody watches.

mod album;
mod api;
mod assets;
mod body;
mod guard;
mod hub;
mod inbox;
mod origin;
mod routes;
mod sessions;
mod shot;
mod studio;
mod taps;
mod telling;
mod token;

pub(crate) use hub::Hub;
pub(crate) use routes::{Page, PageError};
pub(crate) use token::Token;
