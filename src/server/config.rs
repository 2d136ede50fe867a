//! The settings. One struct is their documentation, their defaults and their checks; `.env.example` is held to it by a
//! test. Secrets have no `Debug`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{issuers::Issuers, postgres, proxies};
use crate::domains::named;

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Signup {
    /// Anybody.
    Open,
    /// Whoever has a confirmed address at a workspace's own domain, or at one of MOAT_SIGNUP_DOMAINS. Others wait to be let in.
    Domain,
    /// Nobody without an invitation.
    Invite,
}

/// Who writes the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswererKind {
    /// Offline, from the guide that ships with moat.
    Embedded,
    /// A model server that speaks OpenAI's chat completions.
    Openai,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Args)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "MOAT_ADDR", default_value = "127.0.0.1:3000", global = true)]
    pub addr: SocketAddr,

    /// The address that people type, when it differs from MOAT_ADDR: https://chat.example.org. Requests that change
    /// something are accepted from its pages alone.
    #[arg(long, env = "MOAT_ORIGIN", global = true)]
    pub origin: Option<String>,

    /// Accept plain http on an address that is not this machine. Session cookies then travel in clear.
    #[arg(long, env = "MOAT_ALLOW_PLAIN_HTTP", global = true)]
    pub allow_plain_http: bool,

    /// The folder of the embedded database, the secret and the demo sign-in.
    #[arg(long, env = "MOAT_DATA", default_value = ".data", global = true)]
    pub data: PathBuf,

    /// The folder with Postgres's programs, if they are not found by themselves.
    #[arg(long, env = "MOAT_PG_BIN", global = true)]
    pub pg_bin: Option<PathBuf>,

    /// The login of the user lane on a Postgres of your own (15 or newer). Unset: the embedded database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<String>,

    /// The login of the service lane. Needed with DATABASE_URL.
    #[arg(long, env = "MOAT_SERVICE_URL", hide_env_values = true, global = true)]
    pub service_url: Option<String>,

    /// The login of the visitors' lane, which customers' talks go by. Needed with DATABASE_URL.
    #[arg(long, env = "MOAT_VISITOR_URL", hide_env_values = true, global = true)]
    pub visitor_url: Option<String>,

    /// The owner of the schema, who may make roles. Needed by `migrate`; with it `serve` migrates at its start.
    #[arg(long, env = "MOAT_MIGRATE_URL", hide_env_values = true, global = true)]
    pub migrate_url: Option<String>,

    /// Connections a lane may hold at once.
    #[arg(long, env = "MOAT_POOL", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub pool: u32,

    /// What tokens are signed with: 32 characters or more. Unset with the embedded database: made once, kept beside it.
    #[arg(long, env = "MOAT_SECRET", hide_env_values = true, global = true)]
    pub secret: Option<String>,

    /// Who may sign up.
    #[arg(long, env = "MOAT_SIGNUP", value_enum, default_value = "open", global = true)]
    pub signup: Signup,

    /// With MOAT_SIGNUP=domain: domains whose confirmed addresses get in without a workspace, separated by commas.
    #[arg(long, env = "MOAT_SIGNUP_DOMAINS", value_delimiter = ',', value_parser = named::spelled, global = true)]
    pub signup_domains: Vec<String>,

    /// The name server that is asked for the records which prove domains: its address and port. Unset: the system's.
    #[arg(long, env = "MOAT_DNS", global = true)]
    pub dns: Option<SocketAddr>,

    /// Others whose tokens are accepted: the path of a JSON file, or the JSON itself. A list of {issuer, audience, and one
    /// of hs256_secret, jwks_url, jwks_file}; emails_verified: true if the issuer verifies all addresses.
    #[arg(long, env = "MOAT_ISSUERS", hide_env_values = true, global = true)]
    pub issuers: Option<String>,

    /// The proxies in front, as addresses or networks (10.0.0.0/8), separated by commas. What they forward as somebody's
    /// address counts; from anybody else it does not.
    #[arg(long, env = "MOAT_PROXIES", value_delimiter = ',', value_parser = proxies::network, global = true)]
    pub proxies: Vec<ipnet::IpNet>,

    /// Answers that somebody may ask for in a day, which begins at midnight UTC. 0: as many as they like.
    #[arg(long, env = "MOAT_QUOTA", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..), global = true)]
    pub quota: i32,

    /// Webhooks may lead to addresses of the server's own network as well. Whoever manages a workspace could then reach what
    /// this machine reaches.
    #[arg(long, env = "MOAT_WEBHOOKS_PRIVATE", global = true)]
    pub webhooks_private: bool,

    /// Who writes the answers.
    #[arg(long, env = "MOAT_ANSWERER", value_enum, default_value = "embedded", global = true)]
    pub answerer: AnswererKind,

    /// The model server's address up to /v1, for MOAT_ANSWERER=openai.
    #[arg(long, env = "MOAT_OPENAI_URL", default_value = "https://api.openai.com/v1", global = true)]
    pub openai_url: String,

    /// The model server's key.
    #[arg(long, env = "MOAT_OPENAI_KEY", hide_env_values = true, global = true)]
    pub openai_key: Option<String>,

    /// The model's name.
    #[arg(long, env = "MOAT_OPENAI_MODEL", default_value = "gpt-4o-mini", global = true)]
    pub openai_model: String,

    /// Other models that may be chosen for a chat, separated by commas.
    #[arg(long, env = "MOAT_OPENAI_MODELS", value_delimiter = ',', global = true)]
    pub openai_models: Vec<String>,

    /// How many tokens the models can keep in mind. With it, a chat shows how full that is.
    #[arg(long, env = "MOAT_OPENAI_CONTEXT", value_parser = clap::value_parser!(i32).range(1..), global = true)]
    pub openai_context: Option<i32>,

    /// The mail server: smtps://user:password@mail.example.org, or smtp://…?tls=required for STARTTLS. With it, an account is
    /// made only after a link that was mailed to its address. Unset: no mail is sent.
    #[arg(long, env = "MOAT_SMTP_URL", hide_env_values = true, global = true)]
    pub smtp_url: Option<String>,

    /// Whom mail is from: "moat <moat@example.org>". Needed with MOAT_SMTP_URL.
    #[arg(long, env = "MOAT_MAIL_FROM", global = true)]
    pub mail_from: Option<String>,

    /// For developers: without a mail server or a gateway, keep mail and text messages in memory and show them at /dev/outbox,
    /// to this machine alone.
    #[arg(long, env = "MOAT_DEV_OUTBOX", global = true)]
    pub dev_outbox: bool,

    /// The gateway for text messages: takes a POST of {"to", "text"}. Unset: nobody can sign in by telephone.
    #[arg(long, env = "MOAT_SMS_URL", global = true)]
    pub sms_url: Option<String>,

    /// The gateway's bearer token.
    #[arg(long, env = "MOAT_SMS_TOKEN", hide_env_values = true, global = true)]
    pub sms_token: Option<String>,

    /// The folder of the built pages' scripts and styles.
    #[arg(long, env = "MOAT_SITE", default_value = "target/site", global = true)]
    pub site: PathBuf,

    /// What is logged, in the form of tracing's filters.
    #[arg(long, env = "MOAT_LOG", default_value = "info,sqlx=warn", global = true)]
    pub log: String,

    /// How it is logged.
    #[arg(long, env = "MOAT_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// A setting that can't be used, in words for whoever set it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{setting}: {why}")]
pub struct BadSetting {
    pub setting: &'static str,
    pub why: String,
}

impl Config {
    /// The origin that pages are served from.
    pub fn origin(&self) -> String {
        self.origin.clone().map_or_else(|| format!("http://{}", self.addr), |o| o.trim_end_matches('/').to_owned())
    }

    /// Session cookies carry `Secure` and the `__Host-` name. Browsers keep those over plain http for this machine alone.
    pub fn secure_cookies(&self) -> bool {
        self.origin().starts_with("https://") || self.is_loopback()
    }

    /// The server's own domains, where domains decide who gets in; `None` where they do not.
    pub fn admitting(&self) -> Option<Vec<String>> {
        (self.signup == Signup::Domain).then(|| self.signup_domains.clone())
    }

    /// True when only this machine can reach the server.
    pub fn is_loopback(&self) -> bool {
        self.addr.ip().is_loopback() && self.origin.as_ref().is_none_or(|o| is_loopback_origin(o))
    }

    pub fn embedded(&self) -> bool {
        self.database_url.is_none()
    }

    /// What can be said before anything is started.
    pub fn check(&self) -> Result<(), BadSetting> {
        let bad = |setting, why: &str| Err(BadSetting { setting, why: why.to_owned() });
        let origin = self.origin();
        if !origin.starts_with("http://") && !origin.starts_with("https://") {
            return bad("MOAT_ORIGIN", "Give it with http:// or https:// in front.");
        }
        if origin.starts_with("http://") && !is_loopback_origin(&origin) && !self.allow_plain_http {
            return bad(
                if self.origin.is_some() { "MOAT_ORIGIN" } else { "MOAT_ADDR" },
                "Plain http on an address that others can reach would send sign-ins in clear. Put https in front and name its address, as people type it: MOAT_ORIGIN=https://chat.example.org. On a network that you trust, MOAT_ALLOW_PLAIN_HTTP=true with MOAT_ORIGIN=http://<the address that people type> goes without.",
            );
        }
        if let Some(bin) = self.pg_bin.as_ref().filter(|bin| self.embedded() && !postgres::has_programs(bin)) {
            let why = format!(
                "{} holds no `postgres`, `initdb` and `pg_ctl`. Name the folder that does, or leave it unset: then it is looked for.",
                bin.display()
            );
            return bad("MOAT_PG_BIN", &why);
        }
        if self.database_url.is_some() && self.service_url.is_none() {
            return bad("MOAT_SERVICE_URL", "With DATABASE_URL, the login of the service lane is needed too.");
        }
        if self.database_url.is_some() && self.visitor_url.is_none() {
            return bad("MOAT_VISITOR_URL", "With DATABASE_URL, the login of the visitors' lane is needed too.");
        }
        if self.database_url.is_some() && self.secret.is_none() {
            return bad("MOAT_SECRET", "With DATABASE_URL, set a secret that all servers on this database share.");
        }
        if self.secret.as_ref().is_some_and(|s| s.len() < 32) {
            return bad("MOAT_SECRET", "It needs 32 characters or more.");
        }
        Issuers::read(self.issuers.as_deref())?;
        if let Some(url) = &self.smtp_url {
            let url = reqwest::Url::parse(url)
                .map_err(|e| BadSetting { setting: "MOAT_SMTP_URL", why: format!("This is no address: {e}.") })?;
            let sealed = url.scheme() == "smtps" || url.query_pairs().any(|(k, v)| k == "tls" && v == "required");
            let here = is_loopback_origin(url.as_str());
            if url.password().is_some() && !sealed && !here {
                return bad("MOAT_SMTP_URL", "The password would travel in clear. Use smtps://, or add ?tls=required.");
            }
        }
        Ok(())
    }
}

/// Whether an address names this machine.
pub fn is_loopback_origin(origin: &str) -> bool {
    let host = origin.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let name = if host.starts_with('[') {
        host.split(']').next().unwrap_or_default().trim_start_matches('[')
    } else {
        host.split(':').next().unwrap_or_default()
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
