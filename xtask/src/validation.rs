//! The Khronos validation layers: they check every call that reaches Vulkan.

use std::fs;
use std::path::PathBuf;

use crate::{packages, shell};

/// The layer's manifest in Debian's package.
const LAYER: &str = "/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json";

/// Watches the Vulkan calls of programs that run in its environment.
pub(crate) struct Watch {
    folder: PathBuf,
}

impl Watch {
    /// A watch with an empty log; `None` if the layers are not installed and may not be.
    pub(crate) fn new() -> Result<Option<Self>, String> {
        let found = || fs::exists(LAYER).unwrap_or(false);
        if !found() && packages::may_install() {
            packages::install(&["vulkan-validationlayers"])?;
        }
        if !found() {
            return Ok(None);
        }
        let folder = shell::root().join("target/validation");
        shell::remove_folder(&folder)?;
        let watch = Self { folder };
        let settings = format!(
            "khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n\
             khronos_validation.report_flags = error,warn,perf\n\
             khronos_validation.log_filename = {}\n",
            watch.log().display()
        );
        fs::create_dir_all(&watch.folder)
            .and_then(|()| fs::write(watch.folder.join("vk_layer_settings.txt"), settings))
            .map_err(|error| shell::at(&watch.folder, &error))?;
        Ok(Some(watch))
    }

    /// The environment of a watched program.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("WGPU_VALIDATION", "1".into()),
            ("VK_INSTANCE_LAYERS", "VK_LAYER_KHRONOS_validation".into()),
            ("VK_LAYER_SETTINGS_PATH", self.folder.clone()),
            // Debug names give WGSL as the source language, which older layers do not know.
            ("WGPU_DEBUG", "0".into()),
        ]
    }

    /// Fails with the layers' messages, or if the layers were never loaded.
    pub(crate) fn silent(&self) -> Result<(), String> {
        let log = self.log();
        let said = fs::read_to_string(&log).map_err(|error| shell::at(&log, &error))?;
        if said.trim().is_empty() {
            eprintln!("ci: the Vulkan validation layers report nothing");
            return Ok(());
        }
        let start: String = said.chars().take(4000).collect();
        Err(format!("the Vulkan validation layers report:\n{start}"))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log.txt")
    }
}
