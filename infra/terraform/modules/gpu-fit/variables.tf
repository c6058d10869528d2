variable "name" {
  description = "What the deployment is called; it begins every sentence about it."
  type        = string
}

variable "region" {
  description = "Region that the GPUs are in."
  type        = string

  validation {
    condition     = contains(keys(local.facts.regions), var.region)
    error_message = "infra/data/gpus.json does not say which GPUs ${var.region} has. It knows ${join(", ", keys(local.facts.regions))}; add the region there."
  }
}

variable "machine_type" {
  description = "Machine type that one replica runs on, such as g2-standard-24."
  type        = string

  validation {
    condition     = contains(keys(local.facts.machines), var.machine_type)
    error_message = "infra/data/gpus.json has no machine type ${var.machine_type}. With GPUs there are ${join(", ", keys(local.facts.machines))}."
  }
}

variable "gpu_count" {
  description = "GPUs of one replica, which share every layer of the model (vLLM's tensor parallel size)."
  type        = number

  validation {
    condition     = contains([1, 2, 4, 8, 16], var.gpu_count)
    error_message = "gpu_count is 1, 2, 4, 8 or 16: machines have no other numbers of GPUs."
  }
}

variable "model" {
  description = "Model from infra/data/gpus.json; null = given by `architecture`."
  type        = string
  default     = null

  validation {
    condition     = var.model == null || contains(keys(local.facts.models), coalesce(var.model, "-"))
    error_message = "infra/data/gpus.json does not know the model ${coalesce(var.model, "-")}. It has ${join(", ", keys(local.facts.models))}; add it there, or describe it in `architecture`."
  }

  validation {
    condition     = (var.model == null) != (var.architecture == null)
    error_message = "Give either `model` or `architecture`."
  }
}

variable "architecture" {
  description = "What the model's config.json says of its size; null = the one of `model`. All experts of a mixture count as parameters."
  type = object({
    parameters_billion = number
    layers             = number
    attention_heads    = number
    kv_heads           = number
    head_dim           = number
    max_model_len      = number
  })
  default = null

  validation {
    condition     = var.architecture == null || alltrue([for value in values(var.architecture == null ? {} : var.architecture) : value > 0])
    error_message = "Every number of `architecture` is larger than 0."
  }
}

variable "format" {
  description = "How weights are stored: fp16, bf16, fp8, int8 or int4."
  type        = string

  validation {
    condition     = contains(keys(local.facts.bytes_per_parameter), var.format)
    error_message = "format is one of ${join(", ", keys(local.facts.bytes_per_parameter))}."
  }
}

variable "max_model_len" {
  description = "Longest sequence that is served, in tokens; null = the model's own."
  type        = number
  default     = null

  validation {
    condition     = var.max_model_len == null || coalesce(var.max_model_len, 1) >= 1
    error_message = "max_model_len is 1 token or more."
  }
}

variable "kv_bytes" {
  description = "Bytes of a number in the KV cache: 2, or 1 with an fp8 cache."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2], var.kv_bytes)
    error_message = "kv_bytes is 2 (fp16, bf16) or 1 (fp8)."
  }
}

variable "memory_utilisation" {
  description = "Share of the GPU's memory that vLLM may use (--gpu-memory-utilization)."
  type        = number
  default     = 0.9

  validation {
    condition     = var.memory_utilisation >= 0.5 && var.memory_utilisation <= 0.95
    error_message = "memory_utilisation is 0.5 to 0.95: below it GPUs are wasted, above it CUDA's own memory does not fit."
  }
}
