use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingType, Buffer, BufferBindingType, ComputePass, ComputePipeline, ComputePipelineDescriptor,
    PipelineCompilationOptions, PipelineLayoutDescriptor, ShaderModuleDescriptor, ShaderSource, ShaderStages,
};

use super::{Gpu, matrix::Codes};

/// Rows of a matrix that one workgroup multiplies.
pub const ROWS: u32 = 4;

const COMMON: &str = include_str!("kernels/common.wgsl");
const LANES: &str = include_str!("kernels/lanes.wgsl");
const UNITS: &str = include_str!("kernels/units.wgsl");

/// Tokens that one workgroup multiplies a matrix by, of several.
const TOKENS: u32 = 4;

/// A kernel that is ready to run.
pub struct Kernel {
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
}

/// A kernel with what it reads and writes.
pub struct Bound {
    pipeline: ComputePipeline,
    group: BindGroup,
}

/// Products with weights of one type: by one token, and by several.
pub struct Product {
    one: ComputePipeline,
    several: ComputePipeline,
    layout: BindGroupLayout,
}

/// A product of one matrix.
pub struct BoundProduct {
    one: ComputePipeline,
    several: ComputePipeline,
    group: BindGroup,
    rows: u32,
}

/// What a kernel does with a buffer.
#[derive(Debug, Clone, Copy)]
enum Access {
    Read,
    Write,
}

impl Kernel {
    /// Rows of a matrix by their numbers.
    pub fn embed(gpu: &Gpu, codes: Codes) -> Self {
        use Access::{Read, Write};
        let parts = [include_str!("kernels/embed.wgsl"), UNITS, codes.source()];
        Self::new(gpu, &parts, "embed", &[Read, Read, Read, Write])
    }

    pub fn norm(gpu: &Gpu) -> Self {
        use Access::{Read, Write};
        Self::new(gpu, &[LANES, include_str!("kernels/norm.wgsl")], "normalize", &[Read, Read, Write])
    }

    pub fn heads(gpu: &Gpu) -> Self {
        use Access::{Read, Write};
        Self::new(gpu, &[LANES, include_str!("kernels/heads.wgsl")], "place", &[Write, Read, Read, Read, Write, Write])
    }

    pub fn attend(gpu: &Gpu) -> Self {
        use Access::{Read, Write};
        Self::new(gpu, &[include_str!("kernels/attend.wgsl")], "attend", &[Read, Read, Read, Write])
    }

    pub fn swiglu(gpu: &Gpu) -> Self {
        use Access::{Read, Write};
        Self::new(gpu, &[include_str!("kernels/swiglu.wgsl")], "swiglu", &[Write, Read])
    }

    fn new(gpu: &Gpu, parts: &[&str], name: &str, buffers: &[Access]) -> Self {
        let layout = layout(gpu, name, buffers);
        Self { pipeline: pipeline(gpu, parts, name, &layout), layout }
    }

    /// The kernel over these buffers: the batch, its own numbers, then what it reads and writes.
    pub fn bind(&self, gpu: &Gpu, buffers: &[&Buffer]) -> Bound {
        Bound { pipeline: self.pipeline.clone(), group: group(gpu, &self.layout, buffers) }
    }
}

impl Bound {
    /// Runs so many workgroups.
    pub fn run(&self, pass: &mut ComputePass<'_>, x: u32, y: u32) {
        run(pass, &self.pipeline, &self.group, x, y);
    }
}

impl Product {
    pub fn new(gpu: &Gpu, codes: Codes) -> Self {
        use Access::{Read, Write};
        let name = "product";
        let layout = layout(gpu, name, &[Read, Read, Read, Write, Read]);
        let compiled = |tokens: u32| {
            let tokens = format!("const TOKENS = {tokens}u;\n");
            pipeline(gpu, &[&tokens, include_str!("kernels/matrix.wgsl"), UNITS, codes.source()], name, &layout)
        };
        Self { one: compiled(1), several: compiled(TOKENS), layout }
    }

    /// The product over these buffers, as [`Kernel::bind`]; the matrix has `rows` rows.
    pub fn bind(&self, gpu: &Gpu, buffers: &[&Buffer], rows: u32) -> BoundProduct {
        let group = group(gpu, &self.layout, buffers);
        BoundProduct { one: self.one.clone(), several: self.several.clone(), group, rows }
    }
}

impl BoundProduct {
    /// Multiplies so many tokens.
    pub fn run(&self, pass: &mut ComputePass<'_>, tokens: u32) {
        let groups = self.rows.div_ceil(ROWS);
        match tokens {
            1 => run(pass, &self.one, &self.group, groups, 1),
            _ => run(pass, &self.several, &self.group, groups, tokens.div_ceil(TOKENS)),
        }
    }
}

fn layout(gpu: &Gpu, name: &str, buffers: &[Access]) -> BindGroupLayout {
    let entry = |(binding, ty)| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let storage = buffers.iter().map(|access| BufferBindingType::Storage { read_only: matches!(access, Access::Read) });
    let entries: Vec<_> = (0..).zip([BufferBindingType::Uniform; 2].into_iter().chain(storage)).map(entry).collect();
    gpu.device().create_bind_group_layout(&BindGroupLayoutDescriptor { label: Some(name), entries: &entries })
}

fn pipeline(gpu: &Gpu, parts: &[&str], name: &str, layout: &BindGroupLayout) -> ComputePipeline {
    let source = ShaderSource::Wgsl(format!("{COMMON}{}", parts.concat()).into());
    let module = gpu.device().create_shader_module(ShaderModuleDescriptor { label: Some(name), source });
    let bind_group_layouts = &[Some(layout)];
    let layout = PipelineLayoutDescriptor { label: Some(name), bind_group_layouts, immediate_size: 0 };
    gpu.device().create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(name),
        layout: Some(&gpu.device().create_pipeline_layout(&layout)),
        module: &module,
        entry_point: Some(name),
        compilation_options: PipelineCompilationOptions::default(),
        cache: None,
    })
}

fn group(gpu: &Gpu, layout: &BindGroupLayout, buffers: &[&Buffer]) -> BindGroup {
    let resources = buffers.iter().map(|buffer| buffer.as_entire_binding());
    let entries: Vec<_> =
        (0..).zip(resources).map(|(binding, resource)| BindGroupEntry { binding, resource }).collect();
    gpu.device().create_bind_group(&BindGroupDescriptor { label: None, layout, entries: &entries })
}

fn run(pass: &mut ComputePass<'_>, pipeline: &ComputePipeline, group: &BindGroup, x: u32, y: u32) {
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, group, &[]);
    pass.dispatch_workgroups(x, y, 1);
}
