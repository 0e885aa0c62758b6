/// How a family stores its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// LLaMA 1, 2, 3, TinyLlama, Yi, Mistral.
    Llama,
    /// Qwen2, Qwen2.5.
    Qwen2,
    /// Qwen3.
    Qwen3,
    /// ChatGLM2, ChatGLM3 and GLM-4 in their authors' layout.
    ChatGlm,
    /// GLM-4 in the layout of transformers (`glm`).
    Glm,
    /// GLM-4-0414 (`glm4`), with norms after each block.
    Glm4,
}

impl Family {
    /// Every family with the `model_type`s that it answers to.
    pub const ALL: [(Family, &'static [&'static str]); 6] = [
        (Family::Llama, &["llama", "mistral"]),
        (Family::Qwen2, &["qwen2"]),
        (Family::Qwen3, &["qwen3"]),
        (Family::ChatGlm, &["chatglm"]),
        (Family::Glm, &["glm"]),
        (Family::Glm4, &["glm4"]),
    ];

    /// `general.architecture` of a GGUF.
    pub fn architecture(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
            Family::ChatGlm | Family::Glm => "chatglm",
            Family::Glm4 => "glm4",
        }
    }

    /// Whether query, key and value projection are one matrix.
    pub fn fuses_qkv(self) -> bool {
        self == Family::ChatGlm
    }

    /// Whether gate and up projection are one matrix.
    pub fn fuses_gate_up(self) -> bool {
        self.is_glm()
    }

    /// Whether it is a GLM of any age: their tokenizers agree in what a text begins with and what ends a reply.
    pub fn is_glm(self) -> bool {
        matches!(self, Family::ChatGlm | Family::Glm | Family::Glm4)
    }
}

/// Which elements of a head are rotated against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryLayout {
    /// Element i against element i + width / 2.
    Halves,
    /// Element 2 i against element 2 i + 1.
    Neighbours,
}

/// How positions beyond the trained ones are brought within.
#[derive(Clone, Debug, PartialEq)]
pub enum RotaryScaling {
    /// Positions as they are.
    None,
    /// Positions are divided by the factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// LLaMA 3.1: slow rotations are slower still.
    Llama3 {
        /// Divisor of the slow rotations.
        factor: f64,
        /// Rotations that turn fewer times within the original context are slow.
        low: f64,
        /// Rotations that turn more often are kept.
        high: f64,
        /// Context before scaling, in tokens.
        original: usize,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// Divisor of the slow rotations.
        factor: f64,
        /// Context before scaling, in tokens.
        original: usize,
    },
    /// The frequency of each pair is divided by its own factor: what a GGUF keeps of [`RotaryScaling::Llama3`].
    Factors(Vec<f64>),
}

/// The rotary embedding of positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// How many leading elements of a head are rotated.
    pub width: usize,
    /// Which of them go together.
    pub layout: RotaryLayout,
    /// Base of the frequencies.
    pub base: f64,
    /// Beyond the trained context.
    pub scaling: RotaryScaling,
}

impl Rotary {
    /// What the frequency of each pair is divided by, where that is one factor for each.
    pub fn factors(&self) -> Option<Vec<f64>> {
        let (factor, low, high, original) = match &self.scaling {
            RotaryScaling::Llama3 { factor, low, high, original } => (*factor, *low, *high, *original),
            RotaryScaling::Factors(factors) => return Some(factors.clone()),
            _ => return None,
        };
        let divisor = |pair| {
            let turns = original as f64 * self.plain(pair) / std::f64::consts::TAU;
            let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - keep) / factor + keep)
        };
        Some((0..self.width / 2).map(divisor).collect())
    }

    /// Radians per position of each pair, and the factor of cosines and sines.
    pub fn frequencies(&self) -> (Vec<f64>, f64) {
        let pairs = 0..self.width / 2;
        if let Some(factors) = self.factors() {
            return (pairs.zip(factors).map(|(p, factor)| self.plain(p) / factor).collect(), 1.0);
        }
        match self.scaling {
            RotaryScaling::None | RotaryScaling::Llama3 { .. } | RotaryScaling::Factors(_) => {
                (pairs.map(|p| self.plain(p)).collect(), 1.0)
            }
            RotaryScaling::Linear { factor } => (pairs.map(|p| self.plain(p) / factor).collect(), 1.0),
            RotaryScaling::Yarn { factor, original } => {
                // Rotations that turn 32 times within the original context are kept, those below one turn stretched.
                let width = self.width as f64;
                let corner = |turns: f64| {
                    width * (original as f64 / (turns * std::f64::consts::TAU)).ln() / (2.0 * self.base.ln())
                };
                let (first, last) = (corner(32.0).floor().max(0.0), corner(1.0).ceil().min(width - 1.0));
                let blended = pairs.map(|p| {
                    let stretch = ((p as f64 - first) / (last - first).max(0.001)).clamp(0.0, 1.0);
                    self.plain(p) * (stretch / factor + 1.0 - stretch)
                });
                (blended.collect(), 0.1 * factor.ln() + 1.0)
            }
        }
    }

    fn plain(&self, pair: usize) -> f64 {
        self.base.powf(-2.0 * pair as f64 / self.width as f64)
    }
}

/// The shape of a transformer, in the names of a Hugging Face config.json. Families differ in a few switches.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// How tensors are stored.
    pub family: Family,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width between the gate and the down projection.
    pub intermediate_size: usize,
    /// Number of transformer blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves the same number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions that the model was trained for.
    pub max_position_embeddings: usize,
    /// The rotary embedding.
    pub rotary: Rotary,
    /// Epsilon of RMSNorm.
    pub rms_norm_eps: f64,
    /// Is the output matrix the embedding?
    pub tie_word_embeddings: bool,
    /// Do queries, keys and values have biases?
    pub qkv_bias: bool,
    /// Does attention's output have a bias?
    pub output_bias: bool,
    /// Is each query and key head normed before it is rotated?
    pub head_norms: bool,
    /// Is what attention and the feed-forward layer add normed?
    pub post_norms: bool,
}

impl Shape {
    /// Width of all query heads together.
    pub fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads together, which is that of the values too.
    pub fn key_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Width of queries, keys and values together.
    pub fn qkv_size(&self) -> usize {
        self.query_size() + 2 * self.key_size()
    }
}
