//! Graphics adapters made of software, so that a machine without a GPU runs every test.
//!
//! Three of them, unlike enough to be worth testing on each: Mesa's lavapipe (Vulkan; wide
//! subgroups, f16), `SwiftShader` (Vulkan; narrow subgroups, no f16) and Mesa's llvmpipe
//! (OpenGL; no subgroups at all).

use std::env;
use std::path::{Path, PathBuf};

use crate::{packages, shell};

/// A software adapter that can be chosen by its driver file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    /// Mesa's Vulkan on the CPU.
    Lavapipe,
    /// The Vulkan on the CPU that Chromium ships.
    SwiftShader,
    /// Mesa's OpenGL on the CPU.
    Llvmpipe,
}

impl Software {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Lavapipe, Self::SwiftShader, Self::Llvmpipe];

    /// Its name in lower case, as tests are told it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lavapipe => "lavapipe",
            Self::SwiftShader => "swiftshader",
            Self::Llvmpipe => "llvmpipe",
        }
    }

    /// The file by which a loader finds the driver, if it is installed.
    pub(crate) fn driver(self) -> Option<PathBuf> {
        let files = match self {
            Self::Lavapipe => vec![
                format!("/usr/share/vulkan/icd.d/lvp_icd.{}.json", env::consts::ARCH),
                "/usr/share/vulkan/icd.d/lvp_icd.json".to_owned(),
            ],
            Self::SwiftShader => vec!["/usr/lib/chromium/vk_swiftshader_icd.json".to_owned()],
            Self::Llvmpipe => vec!["/usr/share/glvnd/egl_vendor.d/50_mesa.json".to_owned()],
        };
        files.into_iter().map(PathBuf::from).find(|file| file.is_file())
    }

    /// The environment that makes this the only adapter in sight, with nobody watching: the validation
    /// layers, which debug builds load where they are, cost time and once took a test down with them.
    ///
    /// Installs the adapter where that is allowed. Nothing where it is neither here nor allowed.
    pub(crate) fn environment(self) -> Result<Option<Vec<(&'static str, PathBuf)>>, String> {
        if self.driver().is_none() && packages::may_install() {
            packages::install(self.packages())?;
            if self.driver().is_none() && !self.packages().is_empty() {
                return Err(format!("{}: its driver file is not where it should be", self.name()));
            }
        }
        let unwatched = ("WGPU_VALIDATION", "0".into());
        Ok(self.driver().map(|driver| match self {
            Self::Lavapipe | Self::SwiftShader => vec![("VK_DRIVER_FILES", driver), unwatched],
            Self::Llvmpipe => vec![
                ("__EGL_VENDOR_LIBRARY_FILENAMES", driver),
                ("LIBGL_ALWAYS_SOFTWARE", "1".into()),
                ("WGPU_BACKEND", "gl".into()),
                unwatched,
            ],
        }))
    }

    /// The Debian packages that bring it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Lavapipe => &["mesa-vulkan-drivers", "libvulkan1"],
            Self::SwiftShader if packages::is_debian() => &["chromium-common", "libvulkan1"],
            // Elsewhere Chromium is not a package of the system.
            Self::SwiftShader => &[],
            Self::Llvmpipe => &["libegl1", "libgl1-mesa-dri"],
        }
    }
}

/// Installs the software adapters that are missing, or says in one line how to.
pub(crate) fn install() -> Result<(), String> {
    let mut wanted = Software::ALL.map(Software::packages).concat();
    wanted.sort_unstable();
    wanted.dedup();
    match packages::install(&wanted) {
        Err(error) if packages::may_install() => return Err(error),
        Err(instruction) if Software::ALL.iter().any(|one| one.driver().is_none()) => {
            eprintln!("xtask: for tests on software adapters {instruction}");
        }
        _ => {}
    }
    for one in Software::ALL {
        let place = one.driver().map_or("not here".into(), |file| file.display().to_string());
        eprintln!("xtask: {}: {place}", one.name());
    }
    Ok(())
}

/// Makes sure that a program finds some adapter, a software one if there is no other.
///
/// Never fails: without any adapter the program still runs, on its plain reference.
pub(crate) fn ensure_any() {
    // Elsewhere the system brings Metal or Direct3D.
    if !cfg!(target_os = "linux") {
        return;
    }
    let chosen =
        ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| env::var_os(name).is_some());
    let mut missing = Vec::new();
    if !chosen && !has_vulkan_driver() {
        missing.push("mesa-vulkan-drivers");
    }
    if !has_vulkan_loader() {
        missing.push("libvulkan1");
    }
    if let Err(error) = packages::install(&missing) {
        eprintln!("xtask: no Vulkan adapter here, {error}");
    }
}

fn has_vulkan_driver() -> bool {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    let system = ["/usr/share", "/usr/local/share", "/etc"].map(PathBuf::from);
    system.into_iter().chain(home).any(|place| {
        let folder = place.join("vulkan/icd.d");
        folder.read_dir().is_ok_and(|mut files| files.next().is_some())
    })
}

fn has_vulkan_loader() -> bool {
    // Its folder is often not on the search path of a plain user.
    let known = ["/sbin/ldconfig", "ldconfig"]
        .iter()
        .find_map(|ldconfig| shell::capture(shell::program(ldconfig).arg("-p")).ok());
    // A system without the tool is trusted to have what it needs.
    known.is_none_or(|list| list.contains("libvulkan.so.1"))
}
