// SPDX-License-Identifier: MPL-2.0
//! What the configuration needs of the page.

#[path = "../../orion-launch/src/page/token.rs"]
mod token;

pub(crate) use token::Token;
