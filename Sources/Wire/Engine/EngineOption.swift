/// An option of a container engine's request that Sluice does not read, by its number in CRIU's protocol.
struct EngineOption: Hashable, Sendable {
  let number: UInt32
  let name: String

  private init(_ number: UInt32, _ name: String) {
    self.number = number
    self.name = name
  }

  /// Those of CRIU 3.17.1 and 4.2 that a pre-dump of memory has no use for: what concerns files, sockets, namespaces and
  /// restores, and what Sluice does anyway.
  static let leftOut: [EngineOption] = [
    EngineOption(3, "leave_running"), EngineOption(4, "ext_unix_sk"), EngineOption(5, "tcp_established"),
    EngineOption(6, "evasive_devices"), EngineOption(7, "shell_job"), EngineOption(8, "file_locks"),
    EngineOption(12, "notify_scripts"), EngineOption(13, "root"), EngineOption(15, "track_mem"),
    EngineOption(18, "link_remap"), EngineOption(19, "veths"), EngineOption(20, "cpu_cap"),
    EngineOption(21, "force_irmap"), EngineOption(22, "exec_cmd"), EngineOption(23, "ext_mnt"),
    EngineOption(24, "manage_cgroups"), EngineOption(25, "cg_root"), EngineOption(26, "rst_sibling"),
    EngineOption(27, "inherit_fd"), EngineOption(28, "auto_ext_mnt"), EngineOption(29, "ext_sharing"),
    EngineOption(30, "ext_masters"), EngineOption(31, "skip_mnt"), EngineOption(32, "enable_fs"),
    EngineOption(33, "unix_sk_ino"), EngineOption(34, "manage_cgroups_mode"), EngineOption(35, "ghost_limit"),
    EngineOption(36, "irmap_scan_paths"), EngineOption(37, "external"), EngineOption(38, "empty_ns"),
    EngineOption(39, "join_ns"), EngineOption(41, "cgroup_props"), EngineOption(42, "cgroup_props_file"),
    EngineOption(43, "cgroup_dump_controller"),
    EngineOption(46, "tcp_skip_in_flight"), EngineOption(47, "weak_sysctls"), EngineOption(49, "status_fd"),
    EngineOption(50, "orphan_pts_master"), EngineOption(52, "tcp_close"), EngineOption(53, "lsm_profile"),
    EngineOption(60, "cgroup_yard"),
    // Sluice reads the memory in its own way.
    EngineOption(61, "pre_dump_mode"),
    // Processes are told apart in another way, as the question for this feature is answered.
    EngineOption(62, "pidfd_store_sk"),
    EngineOption(63, "lsm_mount_context"), EngineOption(64, "network_lock"),
    EngineOption(65, "mntns_compat_mode"), EngineOption(66, "skip_file_rwx_check"),
    EngineOption(67, "unprivileged"), EngineOption(70, "display_stats"),
  ]
}
