//! Mounted Secrets and ConfigMaps, as agents see them. Tests elsewhere use this file as well.

use std::path::Path;

/// A volume as the kubelet makes it: its files are links into `..data`, a link to the folder of the present version. A
/// new version is a new folder, to which `..data` is turned; the old one is removed.
pub fn publish(volume: &Path, version: u32, fill: impl FnOnce(&Path)) {
    let (folder, data) = (format!("..v{version}"), volume.join("..data"));
    std::fs::create_dir_all(volume.join(&folder)).unwrap();
    fill(&volume.join(&folder));
    let old = std::fs::read_link(&data).ok();
    std::os::unix::fs::symlink(&folder, volume.join("..new")).unwrap();
    std::fs::rename(volume.join("..new"), &data).unwrap();
    for file in std::fs::read_dir(volume.join(&folder)).unwrap() {
        let name = file.unwrap().file_name();
        let _ = std::os::unix::fs::symlink(Path::new("..data").join(&name), volume.join(&name));
    }
    if let Some(old) = old {
        std::fs::remove_dir_all(volume.join(old)).unwrap();
    }
}
