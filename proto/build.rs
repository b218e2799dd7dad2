//! Compiles the `.proto` files with protox, so that no `protoc` has to be installed, and writes down which fields of
//! which message hold others: `codec` counts them before anything is decoded.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Numbers of `google.protobuf.FieldDescriptorProto`.
const REPEATED: i32 = 3;
const STRING: i32 = 9;
const MESSAGE: i32 = 11;
const BYTES: i32 = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/cache.proto", "proto/admin.proto", "proto/mesh.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(files)?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    // What applications may be shown, with its comments.
    let mut public = protox::Compiler::new(["proto"])?;
    public.include_imports(true).include_source_info(true).open_file("proto/cache.proto")?;
    std::fs::write(out.join("cache.bin"), public.encode_file_descriptor_set())?;
    let descriptors = compiler.file_descriptor_set();

    let messages: Vec<_> = descriptors
        .file
        .iter()
        .flat_map(|file| file.message_type.iter().map(move |message| (file.package(), message)))
        .collect();
    let places: BTreeMap<String, usize> = messages
        .iter()
        .enumerate()
        .map(|(place, (package, message))| (format!(".{package}.{}", message.name()), place))
        .collect();
    // Those that have a repeated field somewhere inside; found when nothing more is added.
    let mut counted = vec![false; messages.len()];
    for _ in 0..messages.len() {
        for (place, (_, message)) in messages.iter().enumerate() {
            let inside = |name: &str| places.get(name).is_some_and(|inside| counted[*inside]);
            counted[place] = message.field.iter().any(|f| f.label == Some(REPEATED) || inside(f.type_name()));
        }
    }
    let (mut shapes, mut types) = (String::new(), String::new());
    for (place, (package, message)) in messages.iter().enumerate() {
        let mut fields = String::new();
        for field in &message.field {
            let repeated = field.label == Some(REPEATED);
            let holds = match field.r#type {
                Some(MESSAGE) => Some(*places.get(field.type_name()).ok_or("a message inside another one")?),
                Some(STRING | BYTES) if repeated => None,
                _ => continue,
            };
            let holds = holds.filter(|inside: &usize| counted[*inside]);
            if !repeated && holds.is_none() {
                continue;
            }
            write!(
                fields,
                "Field {{ number: {}, repeated: {repeated}, holds: {holds:?} }}, ",
                field.number()
            )?;
        }
        writeln!(shapes, "    &[{fields}], // {}", message.name())?;
        // rauthy.mesh.v1 is re-exported as `mesh`.
        let module = package.split('.').nth(1).ok_or("a package with another name")?;
        writeln!(
            types,
            "impl Bounded for crate::{module}::{} {{ const SHAPE: usize = {place}; }}",
            message.name()
        )?;
    }
    let text = format!("static SHAPES: &[&[Field]] = &[\n{shapes}];\n{types}");
    std::fs::write(out.join("shapes.rs"), text)?;

    tonic_prost_build::configure()
        // Values and log entries are shared, never copied.
        .bytes(".")
        .codec_path("crate::codec::BoundedCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
