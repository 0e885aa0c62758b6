use candle_core::quantized::GgmlDType;
use checkpoint::{Part, Shape, TensorSpec};

/// How the matrices are stored; vectors are always F32. The mixtures are llama.cpp's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "llama.cpp's names")]
pub enum Type {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the exponent of F32.
    BF16,
    /// 8 bits.
    Q8_0,
    /// 4 bits.
    Q4_0,
    /// 4 bits with a minimum for each block.
    Q4_1,
    /// 5 bits.
    Q5_0,
    /// 5 bits with a minimum for each block.
    Q5_1,
    /// 2 bits, some matrices 3.
    Q2_K,
    /// 3 bits, some matrices 4 or 5.
    Q3_K_M,
    /// 4 bits, some matrices 6.
    Q4_K_M,
    /// 5 bits, some matrices 6.
    Q5_K_M,
    /// 6 bits.
    Q6_K,
    /// 4 bits in the blocks that browsers multiply fastest; embedding and head 8 bits.
    Web,
}

impl Type {
    /// Every type with its name and its number in `general.file_type`.
    pub const ALL: [(Type, &'static str, u32); 14] = [
        (Type::F32, "F32", 0),
        (Type::F16, "F16", 1),
        (Type::BF16, "BF16", 32),
        (Type::Q8_0, "Q8_0", 7),
        (Type::Q4_0, "Q4_0", 2),
        (Type::Q4_1, "Q4_1", 3),
        (Type::Q5_0, "Q5_0", 8),
        (Type::Q5_1, "Q5_1", 9),
        (Type::Q2_K, "Q2_K", 10),
        (Type::Q3_K_M, "Q3_K_M", 12),
        (Type::Q4_K_M, "Q4_K_M", 15),
        (Type::Q5_K_M, "Q5_K_M", 17),
        (Type::Q6_K, "Q6_K", 18),
        (Type::Web, "web", 2),
    ];

    /// Its number in `general.file_type`.
    pub fn file_type(self) -> u32 {
        Type::ALL.iter().find(|(kind, ..)| *kind == self).map_or(0, |(.., number)| *number)
    }

    /// The storage of a tensor.
    pub(crate) fn stored(self, spec: &TensorSpec, shape: &Shape) -> GgmlDType {
        let [_, columns] = *spec.shape else { return GgmlDType::F32 };
        let is_output = match spec.part {
            Part::Head => true,
            Part::Embedding => shape.tie_word_embeddings,
            _ => false,
        };
        let wanted = match self {
            Type::Web if matches!(spec.part, Part::Head | Part::Embedding) => GgmlDType::Q8_0,
            Type::F32 | Type::F16 | Type::BF16 | Type::Q8_0 | Type::Web => self.plain(),
            _ if is_output => GgmlDType::Q6K,
            _ => self.mixed(spec, shape),
        };
        fitting(wanted, columns)
    }

    /// What most matrices are.
    fn plain(self) -> GgmlDType {
        match self {
            Type::F32 => GgmlDType::F32,
            Type::F16 => GgmlDType::F16,
            Type::BF16 => GgmlDType::BF16,
            Type::Q8_0 => GgmlDType::Q8_0,
            Type::Q4_0 | Type::Web => GgmlDType::Q4_0,
            Type::Q4_1 => GgmlDType::Q4_1,
            Type::Q5_0 => GgmlDType::Q5_0,
            Type::Q5_1 => GgmlDType::Q5_1,
            Type::Q2_K => GgmlDType::Q2K,
            Type::Q3_K_M => GgmlDType::Q3K,
            Type::Q4_K_M => GgmlDType::Q4K,
            Type::Q5_K_M => GgmlDType::Q5K,
            Type::Q6_K => GgmlDType::Q6K,
        }
    }

    /// llama.cpp gives more bits to the matrices that lose most.
    fn mixed(self, spec: &TensorSpec, shape: &Shape) -> GgmlDType {
        let (layer, layers) = (spec.layer.unwrap_or(0), shape.num_hidden_layers);
        let shared = shape.num_attention_heads / shape.num_key_value_heads;
        let more = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
        match (self, spec.part) {
            (Type::Q2_K, Part::Value) if shared >= 4 => GgmlDType::Q4K,
            (Type::Q2_K, Part::Value | Part::Down | Part::Output) => GgmlDType::Q3K,
            (Type::Q3_K_M, Part::Value) if layer < 2 => GgmlDType::Q5K,
            (Type::Q3_K_M, Part::Down) if layer < layers / 16 => GgmlDType::Q5K,
            (Type::Q3_K_M, Part::Value | Part::Down | Part::Output | Part::Qkv) => GgmlDType::Q4K,
            (Type::Q4_K_M, Part::Value | Part::Down) if more => GgmlDType::Q6K,
            (Type::Q4_K_M, Part::Qkv) => GgmlDType::Q5K,
            (Type::Q5_K_M, Part::Value | Part::Down) if more => GgmlDType::Q6K,
            (Type::Q5_K_M, Part::Qkv) => GgmlDType::Q6K,
            _ => self.plain(),
        }
    }
}

/// The type itself, or the next one whose blocks fill rows of so many columns.
fn fitting(wanted: GgmlDType, columns: usize) -> GgmlDType {
    if columns.is_multiple_of(wanted.block_size()) {
        return wanted;
    }
    let smaller = match wanted {
        GgmlDType::Q2K | GgmlDType::Q3K => GgmlDType::Q4_0,
        GgmlDType::Q4K => GgmlDType::Q5_0,
        GgmlDType::Q5K => GgmlDType::Q5_1,
        GgmlDType::Q6K => GgmlDType::Q8_0,
        _ => GgmlDType::F16,
    };
    if columns.is_multiple_of(smaller.block_size()) { smaller } else { GgmlDType::F16 }
}
