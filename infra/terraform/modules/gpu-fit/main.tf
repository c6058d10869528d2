# Whether a model fits a machine's GPUs, said before anything is built. Pure arithmetic over infra/data/gpus.json.

locals {
  facts = jsondecode(file("${path.module}/../../../data/gpus.json"))

  model         = var.architecture != null ? var.architecture : local.facts.models[var.model]
  machine       = local.facts.machines[var.machine_type]
  gpu           = local.facts.gpus[local.machine.gpu]
  max_model_len = coalesce(var.max_model_len, local.model.max_model_len)
  gib           = 1073741824

  weights_gib        = local.model.parameters_billion * 1000000000 * local.facts.bytes_per_parameter[var.format] / local.gib
  kv_bytes_per_token = 2 * local.model.layers * local.model.kv_heads * local.model.head_dim * var.kv_bytes
  sequence_gib       = local.kv_bytes_per_token * local.max_model_len / local.gib

  # Of each number of each GPU: what is left for the KV cache, in GiB.
  kv_gib = {
    for machine, shape in local.facts.machines : machine =>
    var.memory_utilisation * shape.gpu_count * local.facts.gpus[shape.gpu].usable_gib
    -local.weights_gib - shape.gpu_count * local.facts.overhead_gib_per_gpu
  }

  divides = {
    for count in [1, 2, 4, 8, 16] :
    count => local.model.attention_heads % count == 0 && (local.model.kv_heads % count == 0 || count % local.model.kv_heads == 0)
  }

  # What would do in this region, smallest GPU memory first; the smallest machine stands for all with the same GPUs.
  fitting = [
    for machine, shape in local.facts.machines : {
      machine = machine
      text    = "${shape.gpu_count} x ${local.facts.gpus[shape.gpu].name} (${machine})"
      order   = format("%06d-%06d", shape.gpu_count * local.facts.gpus[shape.gpu].memory_gb, shape.vcpus)
      gpus    = "${shape.gpu_count}-${shape.gpu}"
    }
    if alltrue([
      contains(local.facts.regions[var.region], shape.gpu),
      contains(local.facts.gpus[shape.gpu].formats, var.format),
      local.divides[shape.gpu_count],
      local.kv_gib[machine] >= local.sequence_gib,
    ])
  ]
  by_order   = { for fit in local.fitting : "${fit.order}-${fit.machine}" => fit... }
  in_order   = [for order in sort(keys(local.by_order)) : local.by_order[order][0]]
  by_gpus    = { for fit in local.in_order : fit.gpus => fit.text... }
  suggested  = distinct([for fit in local.in_order : local.by_gpus[fit.gpus][0]])
  suggestion = length(local.suggested) == 0 ? "Nothing in ${var.region} holds it: take a smaller format or a smaller max_model_len." : "In ${var.region} these would do: ${join(", ", slice(local.suggested, 0, min(3, length(local.suggested))))}."

  available_gib = var.memory_utilisation * var.gpu_count * local.gpu.usable_gib - var.gpu_count * local.facts.overhead_gib_per_gpu
  left_gib      = local.available_gib - local.weights_gib
  kv_tokens     = max(0, floor(local.left_gib * local.gib / local.kv_bytes_per_token))
  subject       = "${var.name}: ${coalesce(var.model, "the model")} in ${var.format}"
}

# The output exists only when every condition holds, so whatever uses it is never planned for a pair that can't work.
output "fit" {
  description = "What the checked pair gives: accelerator, gpu_count, weights_gib, kv_tokens (room of the KV cache), max_sequences (of full length at once), what a pod may ask of the machine, and vLLM's arguments."
  value = {
    accelerator   = local.machine.gpu
    gpu_count     = var.gpu_count
    machine_type  = var.machine_type
    weights_gib   = local.weights_gib
    kv_tokens     = local.kv_tokens
    max_sequences = floor(local.kv_tokens / local.max_model_len)
    # A node keeps a part for itself: a pod that asks for all of the machine is never placed.
    requests = {
      cpu    = tostring(max(1, floor(local.machine.vcpus * 0.8)))
      memory = "${floor(local.machine.memory_gb * 0.75)}Gi"
    }
    vllm_args = {
      tensor-parallel-size   = tostring(var.gpu_count)
      max-model-len          = tostring(local.max_model_len)
      gpu-memory-utilization = tostring(var.memory_utilisation)
    }
  }

  precondition {
    condition     = local.machine.gpu_count == var.gpu_count
    error_message = "${var.name}: ${var.machine_type} has ${local.machine.gpu_count} x ${local.gpu.name}, not ${var.gpu_count}; a pod never spans machines and would wait for ever. With ${var.gpu_count}: ${join(", ", [for machine, shape in local.facts.machines : machine if shape.gpu == local.machine.gpu && shape.gpu_count == var.gpu_count])}."
  }

  precondition {
    condition     = contains(local.facts.regions[var.region], local.machine.gpu)
    error_message = "${var.name}: ${var.region} has no ${local.gpu.name}. ${local.suggestion}"
  }

  precondition {
    condition     = contains(local.gpu.formats, var.format)
    error_message = "${local.subject} does not run on ${local.gpu.name}, which knows ${join(", ", local.gpu.formats)}. ${local.suggestion}"
  }

  precondition {
    condition     = local.divides[var.gpu_count]
    error_message = "${var.name}: ${local.model.attention_heads} attention heads and ${local.model.kv_heads} KV heads can't be shared by ${var.gpu_count} GPUs. ${local.suggestion}"
  }

  precondition {
    condition     = local.max_model_len <= local.model.max_model_len
    error_message = "${var.name}: the model takes ${local.model.max_model_len} tokens, max_model_len asks for ${local.max_model_len}."
  }

  precondition {
    condition     = local.left_gib > 0
    error_message = "${local.subject} has ${format("%.1f", local.weights_gib)} GiB of weights; ${var.gpu_count} x ${local.gpu.name} hold ${format("%.1f", local.available_gib)} GiB. ${local.suggestion}"
  }

  precondition {
    condition     = local.left_gib <= 0 || local.left_gib >= local.sequence_gib
    error_message = "${local.subject} leaves ${format("%.1f", local.left_gib)} GiB on ${var.gpu_count} x ${local.gpu.name} for the KV cache; one sequence of ${local.max_model_len} tokens takes ${format("%.1f", local.sequence_gib)} GiB. ${local.suggestion} Or max_model_len = ${local.kv_tokens} at most."
  }
}

output "suggested" {
  description = "What would hold the model in this region, smallest first."
  value       = local.suggested
}
