//! The Khronos validation layers: a second pair of eyes on every call that reaches Vulkan.

use std::fs;
use std::path::PathBuf;

use crate::{packages, shell};

/// Where Debian's package puts the layer's description.
const LAYER: &str = "/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json";

/// A watch over the Vulkan calls of the programs that run in its environment.
pub(crate) struct Watch {
    folder: PathBuf,
}

impl Watch {
    /// A watch with an empty log; none where the layers are neither here nor may be installed.
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

    /// What a program needs to be watched.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("WGPU_VALIDATION", "1".into()),
            ("VK_INSTANCE_LAYERS", "VK_LAYER_KHRONOS_validation".into()),
            ("VK_LAYER_SETTINGS_PATH", self.folder.clone()),
            // Debug names tell the layers a source language, WGSL, that older ones do not know.
            ("WGPU_DEBUG", "0".into()),
        ]
    }

    /// Fails with what the layers said, and where they were never loaded.
    pub(crate) fn silent(&self) -> Result<(), String> {
        let log = self.log();
        let said = fs::read_to_string(&log).map_err(|error| shell::at(&log, &error))?;
        if said.trim().is_empty() {
            eprintln!("ci: the Vulkan validation layers have nothing to say");
            return Ok(());
        }
        let start: String = said.chars().take(4000).collect();
        Err(format!("the Vulkan validation layers say:\n{start}"))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log.txt")
    }
}
