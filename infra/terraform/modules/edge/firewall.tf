# Cloud Armor. Prompts look like attacks (they quote SQL, scripts and paths), so rules that read bodies leave the API's paths alone.

locals {
  attacks = {
    2000 = { text = "SQL injection", rule = "sqli-v33-stable" }
    2010 = { text = "Scripts in requests", rule = "xss-v33-stable" }
    2020 = { text = "Files of the server", rule = "lfi-v33-stable" }
    2030 = { text = "Code of others", rule = "rce-v33-stable" }
    2040 = { text = "Broken protocol", rule = "protocolattack-v33-stable" }
    2050 = { text = "Scanners", rule = "scannerdetection-v33-stable" }
  }
}

resource "google_compute_security_policy" "main" {
  name = var.prefix
  type = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing = "STANDARD"
    log_level    = "NORMAL"
  }

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable = true
    }
  }

  dynamic "rule" {
    for_each = length(var.denied_cidrs) == 0 ? [] : [var.denied_cidrs]
    content {
      priority    = 100
      action      = "deny(403)"
      description = "Addresses that get nothing"
      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = rule.value
        }
      }
    }
  }

  dynamic "rule" {
    for_each = length(var.admin_cidrs) == 0 ? [] : [var.admin_cidrs]
    content {
      priority    = 200
      action      = "deny(403)"
      description = "The admin API from elsewhere"
      match {
        expr {
          expression = "request.path.startsWith('/admin/') && !(${join(" || ", [for cidr in rule.value : "inIpRange(origin.ip, '${cidr}')"])})"
        }
      }
    }
  }

  # CVE-2021-44228 is in headers, which the API has too.
  rule {
    priority    = 1000
    action      = "deny(403)"
    preview     = !var.firewall_enforces
    description = "Log4j and its kind"
    match {
      expr {
        expression = "evaluatePreconfiguredExpr('cve-canary')"
      }
    }
  }

  dynamic "rule" {
    for_each = local.attacks
    content {
      priority    = rule.key
      action      = "deny(403)"
      preview     = !var.firewall_enforces
      description = rule.value.text
      match {
        expr {
          expression = "!request.path.startsWith('/v1/') && evaluatePreconfiguredWaf('${rule.value.rule}', {'sensitivity': 1})"
        }
      }
    }
  }

  rule {
    priority    = 3000
    action      = "throttle"
    description = "One key or token"
    match {
      expr {
        expression = "has(request.headers['authorization'])"
      }
    }
    rate_limit_options {
      conform_action      = "allow"
      exceed_action       = "deny(429)"
      enforce_on_key      = "HTTP_HEADER"
      enforce_on_key_name = "authorization"
      rate_limit_threshold {
        count        = var.requests_per_minute.authorization
        interval_sec = 60
      }
    }
  }

  # A throttle that a request conforms to decides, so this one is for those without a key: guessing is bounded by address.
  rule {
    priority    = 3010
    action      = "throttle"
    description = "One address"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = var.requests_per_minute.address
        interval_sec = 60
      }
    }
  }

  rule {
    priority    = 2147483647
    action      = "allow"
    description = "All others"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
