//! The floor below the rooms, in the server build alone: wires, no product rules.
//!
//! | file | what |
//! | --- | --- |
//! | `config`, `cli`, `boot`, `state` | the settings, the commands, how a server comes up, what a request can reach |
//! | `postgres`, `migrate`, `check` | the embedded cluster, the schema, the proof that the wall stands |
//! | `lanes`, `pool`, `db_error` | the only ways to the database, and what its errors become |
//! | `keys`, `jwt`, `issuers`, `proxies`, `caller`, `session`, `passwords` | who is asking |
//! | `router`, `forms`, `headers`, `wire` | the doors, and what an error looks like there |
//! | `openai`, `mailer`, `sms` | the clients of a model server, a mail server, a gateway for text messages |
//! | `adopt` | chats of an older schema |
//! | `jobs`, `telemetry` | what a process does by itself, logs |

pub mod adopt;
pub mod boot;
pub mod caller;
pub mod check;
pub mod cli;
pub mod config;
pub mod db_error;
pub mod demo;
pub mod dns;
pub mod forms;
pub mod headers;
pub mod issuers;
pub mod jobs;
pub mod jwt;
pub mod keys;
pub mod lanes;
pub mod mailer;
pub mod migrate;
pub mod misses;
pub mod openai;
pub mod passwords;
mod pool;
pub mod postgres;
pub mod proxies;
pub mod router;
pub mod session;
pub mod sms;
pub mod state;
pub mod telemetry;
pub mod wire;
