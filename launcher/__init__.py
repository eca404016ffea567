"""Builds, supervises and waits for an SGLang server: `python -m launcher up`.

The flow, which is also the direction of imports:

    names, errors, states, events, text, private_files, hardware, notify, bind
      -> model_shape, known_shapes, gpu_table, memory_plan, memory_report   how much memory
      -> config, presets, gpu_choice, config_sources                          what to serve
      -> process, members, shared_memory, run_store                  whose process is it
      -> flags, command, keys, ports, model_folder, model_files, model_hashes, launch
      -> model_places, model_store, hub, workers, pull_events        what is to be served
      -> download, pull_request, model_verification, pull, model_removal
      -> plan_advice, plan_table, plan_sources                       does it fit
      -> phases, activity, phase_history, start_watch, preflight     how long does it take
      -> doctor, doctor_needs, doctor_nvml, doctor_readers           will it work here
      -> doctor_gpu, doctor_host, doctor_limits, doctor_packages, doctor_hub
      -> collector, log_files, collector_process, output             what does it print
      -> memory_events, cause_types, causes_gpu, causes_host, causes_model, causes
      -> diagnosis, conclusion                                       why did it end
      -> readiness, health, restarts, mailbox, journal, end, run, supervisor   keep it up
      -> stop, follow, serving                                       reach it from elsewhere
      -> pull_display, display, plan_display, consoles, starting, service      show it
      -> cli_common, cli_options, cli_start, cli_plan, cli_models, cli_logs, cli_service
      -> cli_doctor, cli

`.importlinter` holds who may import whom. `clients` never imports this package, and this package
never imports `clients` or `benchmarks`. SGLang and torch are imported by
`launcher.engines.sglang.plugins.cpu`, `launcher.engines.sglang.dump_flags` and
`launcher.engines.sglang.plugins.hooks` only, in processes of their own: the launcher itself stays
small and starts fast.
"""
