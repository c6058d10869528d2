variables {
  name          = "mixtral"
  region        = "asia-south1"
  model         = "mixtral-8x7b"
  machine_type  = "g2-standard-24"
  gpu_count     = 2
  format        = "int4"
  max_model_len = 32768
}

run "int4_mixtral_fits_two_l4" {
  command = plan
  assert {
    condition     = abs(output.fit.weights_gib - 23.9) < 0.1
    error_message = "46.7 billion parameters in int4 are 23.9 GiB, not ${output.fit.weights_gib}."
  }
  assert {
    condition     = output.fit.max_sequences == 3 && output.fit.accelerator == "nvidia-l4"
    error_message = "Three sequences of full length fit, not ${output.fit.max_sequences}."
  }
  assert {
    condition     = output.fit.vllm_args["tensor-parallel-size"] == "2"
    error_message = "vLLM is told of both GPUs."
  }
}

run "a_pod_leaves_the_node_its_share" {
  command = plan
  assert {
    condition     = output.fit.requests.cpu == "19" && output.fit.requests.memory == "72Gi"
    error_message = "Of 24 vCPUs and 96 GB a pod gets 19 and 72, not ${output.fit.requests.cpu} and ${output.fit.requests.memory}."
  }
}

run "fp16_mixtral_does_not_fit_two_l4" {
  command = plan
  variables {
    format = "fp16"
  }
  expect_failures = [output.fit]
}

run "what_would_fit_is_said_smallest_first" {
  command = plan
  assert {
    condition     = output.suggested[0] == "2 x L4 (g2-standard-24)" && contains(output.suggested, "1 x H100 (a3-highgpu-1g)")
    error_message = "Suggested: ${join(", ", output.suggested)}"
  }
  assert {
    condition     = !strcontains(join(", ", output.suggested), "A100")
    error_message = "asia-south1 has no A100."
  }
}

run "fp8_mixtral_fits_four_l4" {
  command = plan
  variables {
    format       = "fp8"
    machine_type = "g2-standard-48"
    gpu_count    = 4
  }
}

run "fp16_mixtral_fits_eight_l4" {
  command = plan
  variables {
    format       = "fp16"
    machine_type = "g2-standard-96"
    gpu_count    = 8
  }
}

run "fp16_mixtral_does_not_fit_one_h100" {
  command = plan
  variables {
    format       = "fp16"
    machine_type = "a3-highgpu-1g"
    gpu_count    = 1
  }
  expect_failures = [output.fit]
}

run "fp8_mixtral_fits_one_h100" {
  command = plan
  variables {
    format       = "fp8"
    machine_type = "a3-highgpu-1g"
    gpu_count    = 1
  }
}

run "fp16_mixtral_fits_two_h100" {
  command = plan
  variables {
    format       = "fp16"
    machine_type = "a3-highgpu-2g"
    gpu_count    = 2
  }
}

run "an_8b_model_fits_one_l4_with_a_bounded_length" {
  command = plan
  variables {
    model         = "llama-3.1-8b"
    machine_type  = "g2-standard-8"
    gpu_count     = 1
    format        = "bf16"
    max_model_len = 16384
  }
  assert {
    condition     = output.fit.kv_tokens > 28000 && output.fit.kv_tokens < 42000
    error_message = "About 30,000 tokens are left, not ${output.fit.kv_tokens}."
  }
}

run "an_8b_model_at_its_full_length_does_not_fit_one_l4" {
  command = plan
  variables {
    model         = "llama-3.1-8b"
    machine_type  = "g2-standard-8"
    gpu_count     = 1
    format        = "bf16"
    max_model_len = null
  }
  expect_failures = [output.fit]
}

run "a_g2_standard_8_has_one_gpu" {
  command = plan
  variables {
    machine_type = "g2-standard-8"
  }
  expect_failures = [output.fit]
}

run "a_region_without_the_gpu_is_refused" {
  command = plan
  variables {
    machine_type = "a2-ultragpu-2g"
  }
  expect_failures = [output.fit]
}

run "a_format_that_the_gpu_lacks_is_refused" {
  command = plan
  variables {
    region       = "us-central1"
    machine_type = "a2-ultragpu-2g"
    format       = "fp8"
  }
  expect_failures = [output.fit]
}

run "heads_that_do_not_divide_are_refused" {
  command = plan
  variables {
    model        = "qwen2.5-7b"
    machine_type = "g2-standard-96"
    gpu_count    = 8
  }
  expect_failures = [output.fit]
}

run "more_tokens_than_the_model_takes_are_refused" {
  command = plan
  variables {
    max_model_len = 65536
  }
  expect_failures = [output.fit]
}

run "a_model_of_ones_own_is_described" {
  command = plan
  variables {
    model         = null
    architecture  = { parameters_billion = 3, layers = 28, attention_heads = 24, kv_heads = 8, head_dim = 128, max_model_len = 8192 }
    machine_type  = "g2-standard-4"
    gpu_count     = 1
    format        = "bf16"
    max_model_len = null
  }
}

run "three_gpus_are_no_machine" {
  command = plan
  variables {
    gpu_count = 3
  }
  expect_failures = [var.gpu_count]
}

run "an_unknown_machine_is_refused" {
  command = plan
  variables {
    machine_type = "g2-standard-2"
  }
  expect_failures = [var.machine_type]
}

run "an_unknown_region_is_refused" {
  command = plan
  variables {
    region = "mars-north1"
  }
  expect_failures = [var.region]
}

run "an_unknown_model_is_refused" {
  command = plan
  variables {
    model = "gpt-2"
  }
  expect_failures = [var.model]
}

run "two_descriptions_are_refused" {
  command = plan
  variables {
    architecture = { parameters_billion = 3, layers = 28, attention_heads = 24, kv_heads = 8, head_dim = 128, max_model_len = 8192 }
  }
  expect_failures = [var.model]
}

run "a_model_without_layers_is_refused" {
  command = plan
  variables {
    model        = null
    architecture = { parameters_billion = 3, layers = 0, attention_heads = 24, kv_heads = 8, head_dim = 128, max_model_len = 8192 }
  }
  expect_failures = [var.architecture]
}

run "an_unknown_format_is_refused" {
  command = plan
  variables {
    format = "fp4"
  }
  expect_failures = [var.format]
}

run "all_memory_is_too_much" {
  command = plan
  variables {
    memory_utilisation = 1
  }
  expect_failures = [var.memory_utilisation]
}

run "a_cache_of_three_bytes_is_refused" {
  command = plan
  variables {
    kv_bytes = 3
  }
  expect_failures = [var.kv_bytes]
}

run "a_sequence_of_no_tokens_is_refused" {
  command = plan
  variables {
    max_model_len = 0
  }
  expect_failures = [var.max_model_len]
}
