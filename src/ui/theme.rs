use serde::{Deserialize, Serialize};

/// What somebody reads in. It stands in a cookie, so that the server paints it from the first byte on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// From a Cookie header.
    pub fn from_cookies(header: &str) -> Self {
        header
            .split(';')
            .filter_map(|pair| pair.trim().strip_prefix("moat-theme="))
            .find_map(|value| Self::ALL.into_iter().find(|theme| theme.as_str() == value))
            .unwrap_or_default()
    }

    /// The one that follows when the switch is pressed.
    pub const fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_theme_is_read_among_other_cookies_and_nonsense_is_none() {
        assert_eq!(Theme::from_cookies("a=b; moat-theme=dark; c=d"), Theme::Dark);
        assert_eq!(Theme::from_cookies("moat-theme=purple"), Theme::System);
        assert_eq!(Theme::from_cookies(""), Theme::System);
    }
}
