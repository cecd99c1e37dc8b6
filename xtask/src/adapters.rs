//! Software graphics adapters, so that a machine without a GPU can run every test.
//!
//! There are three, different enough that testing on each is worthwhile: Mesa's lavapipe (Vulkan; wide
//! subgroups, f16), `SwiftShader` (Vulkan; narrow subgroups, no f16) and Mesa's llvmpipe
//! (OpenGL; no subgroups at all).

use std::env;
use std::path::{Path, PathBuf};

use crate::{packages, shell};

/// A software adapter that can be selected by its driver file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    /// Mesa's Vulkan driver for the CPU.
    Lavapipe,
    /// The Vulkan driver for the CPU that Chromium ships.
    SwiftShader,
    /// Mesa's OpenGL driver for the CPU.
    Llvmpipe,
}

impl Software {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Lavapipe, Self::SwiftShader, Self::Llvmpipe];

    /// Its name in lower case, as passed to tests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lavapipe => "lavapipe",
            Self::SwiftShader => "swiftshader",
            Self::Llvmpipe => "llvmpipe",
        }
    }

    /// The file by which the loader finds the driver, if it is installed.
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

    /// The environment in which this is the only visible adapter, without validation: debug builds
    /// load the validation layers if they are installed, which costs time and once crashed a test.
    ///
    /// Installs the adapter if that is allowed; `None` if it is neither installed nor allowed.
    pub(crate) fn environment(self) -> Result<Option<Vec<(&'static str, PathBuf)>>, String> {
        if self.driver().is_none() && packages::may_install() {
            packages::install(self.packages())?;
            if self.driver().is_none() && !self.packages().is_empty() {
                return Err(format!(
                    "{}: its driver file is missing after installation",
                    self.name()
                ));
            }
        }
        let no_validation = ("WGPU_VALIDATION", "0".into());
        Ok(self.driver().map(|driver| match self {
            Self::Lavapipe | Self::SwiftShader => vec![("VK_DRIVER_FILES", driver), no_validation],
            Self::Llvmpipe => vec![
                ("__EGL_VENDOR_LIBRARY_FILENAMES", driver),
                ("LIBGL_ALWAYS_SOFTWARE", "1".into()),
                ("WGPU_BACKEND", "gl".into()),
                no_validation,
            ],
        }))
    }

    /// The Debian packages that contain it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Lavapipe => &["mesa-vulkan-drivers", "libvulkan1"],
            Self::SwiftShader if packages::is_debian() => &["chromium-common", "libvulkan1"],
            // On other systems Chromium is not a Debian package.
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

/// Makes sure that a program finds an adapter, a software one if there is no other.
///
/// Never fails: without an adapter the program still runs, on its reference.
pub(crate) fn ensure_any() {
    // Other systems have Metal or Direct3D.
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
    // Its folder is often not on an ordinary user's search path.
    let known = ["/sbin/ldconfig", "ldconfig"]
        .iter()
        .find_map(|ldconfig| shell::capture(shell::program(ldconfig).arg("-p")).ok());
    // A system without the tool is assumed to have what it needs.
    known.is_none_or(|list| list.contains("libvulkan.so.1"))
}
