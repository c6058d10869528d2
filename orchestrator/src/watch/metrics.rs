//! The few lines of vLLM's `/metrics` that routing needs. With several engines there is one line an engine; they are summed, and
//! the fullest cache counts.

use crate::endpoint::Scraped;

/// Reads a page in Prometheus' text format; whatever else it has is left alone.
pub(super) fn read(page: &str) -> Scraped {
    let mut scraped = Scraped::default();
    for line in page.lines().filter(|line| line.starts_with("vllm:")) {
        let Some((name, value)) = sample(line) else { continue };
        match name {
            "vllm:num_requests_running" => scraped.running += value,
            "vllm:num_requests_waiting" => scraped.waiting += value,
            // The second is its name in older versions.
            "vllm:kv_cache_usage_perc" | "vllm:gpu_cache_usage_perc" => scraped.kv_usage = scraped.kv_usage.max(value),
            "vllm:prefix_cache_queries_total" => scraped.prefix_queries += value,
            "vllm:prefix_cache_hits_total" => scraped.prefix_hits += value,
            "vllm:num_preemptions_total" => scraped.preemptions += value,
            _ => {}
        }
    }
    scraped
}

/// Name and value of a sample; a value that is no finite number is none.
fn sample(line: &str) -> Option<(&str, f64)> {
    let name = &line[..line.find(['{', ' '])?];
    // Labels may hold spaces and braces; the value comes behind the last brace.
    let rest = line.rfind('}').map_or(&line[name.len()..], |brace| &line[brace + 1..]);
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_real_server_are_read() {
        let scraped = read(
            "# HELP vllm:num_requests_running Number of requests\n\
             vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 64.0\n\
             vllm:num_requests_running{engine=\"1\",model_name=\"tiny\"} 6.0\n\
             vllm:num_requests_waiting{engine=\"0\",model_name=\"a } b\"} 86.0\n\
             vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 86.0\n\
             vllm:kv_cache_usage_perc{engine=\"0\"} 0.0078\n\
             vllm:prefix_cache_queries_total{engine=\"0\"} 1e3\n\
             vllm:prefix_cache_hits_total{engine=\"0\"} 250.0\n\
             vllm:num_preemptions_total{engine=\"0\"} 3.0\n",
        );

        let expected = Scraped {
            running: 70.0,
            waiting: 86.0,
            kv_usage: 0.0078,
            prefix_queries: 1000.0,
            prefix_hits: 250.0,
            preemptions: 3.0,
        };
        assert_eq!(scraped, expected);
    }

    #[test]
    fn older_versions_have_another_name_for_the_cache() {
        assert_eq!(read("vllm:gpu_cache_usage_perc 0.5\n").kv_usage, 0.5);
    }

    #[test]
    fn nonsense_is_left_alone() {
        assert_eq!(read("vllm:num_requests_running\nvllm:num_requests_waiting NaN\nvllm:{} x\n"), Scraped::default());
    }
}
