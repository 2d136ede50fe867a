//! JSON as the browser reads it: what the page carries, what the stream tells, what storage keeps. All of it through the one
//! deserialiser that server functions use already. Any other would be a second copy of every type's code in the download,
//! which is a tenth of it.

use leptos::{prelude::*, server::codee};
use serde::{Serialize, de::DeserializeOwned};

/// How values travel in a page.
pub struct Json;

impl<T: Serialize> codee::Encoder<T> for Json {
    type Error = serde_json::Error;
    type Encoded = String;

    fn encode(value: &T) -> Result<String, Self::Error> {
        serde_json::to_string(value)
    }
}

impl<T: DeserializeOwned> codee::Decoder<T> for Json {
    type Error = serde_json::Error;
    type Encoded = str;

    fn decode(text: &str) -> Result<T, Self::Error> {
        read(text)
    }
}

/// From text to a value. `from_slice`, not `from_str`: see above.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text.as_bytes())
}

/// What a page has to have before its first byte; it travels in the page, so that waking up reads nothing again.
pub fn resource<S, T, Fut>(
    source: impl Fn() -> S + Send + Sync + 'static,
    fetch: impl Fn(S) -> Fut + Send + Sync + 'static,
) -> Resource<T, Json>
where
    S: PartialEq + Clone + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    Resource::new_with_options(source, fetch, true)
}

/// A value that the server made and the browser goes on with.
pub fn shared<T: Serialize + DeserializeOwned>(make: impl FnOnce() -> T) -> T {
    SharedValue::<T, Json>::new_with_encoding(make).into_inner()
}
