use serde::{Deserialize, Serialize};

/// Whether keys of one letter do something. Whoever speaks to their machine, or presses keys by accident, can switch them
/// off. It stands in a cookie, which is the same in all windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    #[default]
    On,
    Off,
}

impl Keys {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// From a Cookie header.
    pub fn from_cookies(header: &str) -> Self {
        if header.split(';').any(|pair| pair.trim() == "moat-keys=off") { Self::Off } else { Self::On }
    }

    pub const fn other(self) -> Self {
        match self {
            Self::On => Self::Off,
            Self::Off => Self::On,
        }
    }
}
