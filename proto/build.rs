//! Compiles the `.proto` files with protox, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/cache.proto", "proto/admin.proto", "proto/mesh.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        // Values and log entries are shared, never copied.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
