//! All tests that need more than one function: one binary, one throw-away cluster, a database of its own for each test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;
mod harness;

mod accounts;
mod adopt;
mod answers;
mod architecture;
mod audit;
mod bot;
mod catalogue;
mod conversations;
mod desk_care;
mod desk_feed;
mod desk_hand;
mod desk_once;
mod desk_time;
mod desk_work;
mod domains;
mod doors;
mod invitations;
mod issuers;
mod lanes;
mod list;
mod live;
mod mail;
mod matrix;
mod phone;
mod process;
mod programs;
mod properties;
mod quota;
mod readers;
mod relay;
mod settings;
mod storms;
mod tenants;
mod threads;
mod transfer;
mod tree;
mod upgrade;
mod widget;
mod workspaces;
