use js_sys::Reflect;
use leptos::prelude::window;
use protocol::{Cache, Device};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};

/// How the engine is to work; it chooses what is left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Wish {
    /// Workers that share the arithmetic.
    pub workers: Option<u32>,
    /// `false` forgoes relaxed SIMD even where the browser has it; left open, the build that runs stays.
    pub relaxed_simd: Option<bool>,
    /// How keys and values are kept.
    pub cache: Option<Cache>,
    /// What computes; left open, the reader's choice.
    pub device: Option<Device>,
    /// Read an address piece by piece and keep no copy.
    pub stream: bool,
}

impl Wish {
    /// What the page's address asks for, as in `?workers=1&simd=plain&cache=q8&device=gpu`.
    pub fn of_address() -> Wish {
        let query = window().location().search().unwrap_or_default();
        let words = |name: &str| {
            query.trim_start_matches('?').split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        Wish {
            workers: words("workers").and_then(|count| count.parse().ok()),
            relaxed_simd: words("simd").map(|simd| simd != "plain"),
            cache: words("cache")
                .and_then(|name| Cache::deserialize(IntoDeserializer::<Error>::into_deserializer(name)).ok()),
            device: words("device")
                .and_then(|name| Device::deserialize(IntoDeserializer::<Error>::into_deserializer(name)).ok()),
            stream: words("stream").is_some(),
        }
    }

    /// This wish, and `other` where it leaves something open.
    pub fn or(self, other: Wish) -> Wish {
        Wish {
            workers: self.workers.or(other.workers),
            relaxed_simd: self.relaxed_simd.or(other.relaxed_simd),
            cache: self.cache.or(other.cache),
            device: self.device.or(other.device),
            stream: self.stream || other.stream,
        }
    }
}

/// Can workers share memory? The server decides, by the headers of the page.
pub fn can_share_memory() -> bool {
    Reflect::get(&window(), &"crossOriginIsolated".into()).is_ok_and(|isolated| isolated.is_truthy())
}
