//! Argon2id, off the threads that serve requests and a few at a time: each hash takes 19 MiB and tens of milliseconds, so
//! a burst of sign-ins must queue here and not starve everything else.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::db_error::internal;
use crate::error::AppError;

#[derive(Clone)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
    /// Checked when the address is unknown, so that this takes as long as a wrong password.
    decoy: Arc<str>,
}

impl Passwords {
    pub fn new(at_once: usize) -> Result<Self, AppError> {
        let decoy = Argon2::default().hash_password(b"nobody's password").map_err(internal)?.to_string();
        Ok(Self { at_once: Arc::new(Semaphore::new(at_once)), decoy: decoy.into() })
    }

    /// The hash as a PHC string.
    pub async fn hash(&self, password: String) -> Result<String, AppError> {
        let turn = self.at_once.clone().acquire_owned().await.map_err(internal)?;
        spawn_blocking(move || {
            // Held by the work itself: a caller who goes away does not make room for the next one.
            let _turn = turn;
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        })
        .await
        .map_err(internal)?
        .map_err(internal)
    }

    /// Whether the password is the one of this hash; `None` never is, and takes as long.
    pub async fn verify(&self, password: String, phc: Option<String>) -> Result<bool, AppError> {
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.decoy.to_string());
        let turn = self.at_once.clone().acquire_owned().await.map_err(internal)?;
        spawn_blocking(move || {
            let _turn = turn;
            PasswordHash::new(&phc)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
        .map(|right| right && known)
        .map_err(internal)
    }
}
