# One region, one small GPU when somebody asks, nothing that can't be made again.
environment = "dev"
protected   = false

regions = {
  asia-south1 = { cidr = "10.16.0.0/12" }
}
primary_region = "asia-south1"

database = {
  vcpus            = 2
  memory_mib       = 7680
  max_connections  = 400
  highly_available = false
  backup_days      = 7
}

gateway = { min_instances = 0, max_instances = 6 }
workers = { max_replicas = 6 }

models = {
  chat = {
    region        = "asia-south1"
    model         = "qwen2.5-7b"
    machine_type  = "g2-standard-8"
    gpu_count     = 1
    format        = "bf16"
    max_model_len = 16384
    max_replicas  = 1
    # Without them requests with tools are refused.
    vllm_args = { enable-auto-tool-choice = "", tool-call-parser = "hermes" }
  }
}
catalog_file  = "envs/dev.models.toml.tftpl"
provider_keys = { VLLM_API_KEY = "1" }
